//! How the board looks in a browser. Every text goes through [`escape`]: titles are other people's.

use std::collections::BTreeMap;

use domain::ids::PullRequestKey;
use domain::task::{COLUMNS, LinkedPullRequest, Task};
use jiff::Timestamp;

use crate::history;
use crate::local_page::{PageStyle, escape};
use crate::task::Card;

pub(super) const LOOK: PageStyle = PageStyle { style: STYLE, script: Some(SCRIPT) };

/// One column beside the other as far as there is room: all six of a board at 1280 px, or the last one would stand below the longest. Letters
/// grow with a screen of which nobody sits nearer than to a small one. A card that is not on the screen is not laid out: with a thousand of them
/// scrolling stutters else.
const STYLE: &str = "\
:root { color-scheme: light dark; font: clamp(16px, .6vw, 24px)/1.45 system-ui, sans-serif; --line: #8885; --faint: #57606a; --bad: #b3261e; --good: #1a7f37; --warn: #9a6700; --card: #fff; --page: #f3f4f6; --link: #0b57d0 }
@media (prefers-color-scheme: dark) { :root { --faint: #a3acb6; --bad: #ff9089; --good: #3fb950; --warn: #d29922; --card: #1d2127; --page: #111418; --link: #9ec2ff } }
* { box-sizing: border-box }
body { margin: 0; padding: 1rem clamp(.75rem, 2vw, 2.5rem); background: var(--page) }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; overflow-wrap: anywhere }
h2 { font-size: 1rem; margin: .25rem 0 .5rem }
.page h2 { margin-top: 1.25rem }
.page h2:first-child { margin-top: 0 }
a { color: var(--link) }
a:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
nav { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .25rem 0 .5rem }
section:focus { outline: none }
#board { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 11.5rem), 1fr)); align-items: start }
ul, ol { list-style: none; margin: 0; padding: 0 }
.cards > li, .page { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .75rem; margin-bottom: .6rem; overflow-wrap: anywhere }
.cards > li { content-visibility: auto; contain-intrinsic-size: auto 6rem }
.cards > li.conflict { border-left: .3rem solid var(--bad) }
.page { max-width: 60rem; padding: 1rem 1.25rem }
p { margin: .25rem 0 }
.faint { color: var(--faint); font-size: .875rem }
.bad { color: var(--bad); font-weight: 600 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 0 0 1rem }
dt { color: var(--faint) }
dd { margin: 0; overflow-wrap: anywhere }
ol > li { border-left: 2px solid var(--line); padding: 0 0 .6rem .75rem }
figure { margin: 0 0 .75rem; max-width: 30rem }
svg { display: block; width: 100%; height: auto; border-bottom: 1px solid var(--line) }
rect.did { fill: var(--good) } rect.idle { fill: var(--faint) } rect.refused { fill: var(--warn) } rect.broke { fill: var(--bad) }
table { border-spacing: 0; margin-bottom: 1rem; overflow-wrap: normal }
th, td { text-align: left; padding: .15rem 1.5rem .15rem .6rem }
td + td { text-align: right; font-variant-numeric: tabular-nums }
td.did { border-left: .4rem solid var(--good) } td.idle { border-left: .4rem solid var(--faint) }
td.refused { border-left: .4rem solid var(--warn) } td.broke { border-left: .4rem solid var(--bad) }
.checks > li { padding: .2rem 0 .2rem 1.2rem; text-indent: -1.2rem; overflow-wrap: anywhere }";

/// Fetches the page again while somebody looks, and puts in place the columns that changed, with the focus where it was.
const SCRIPT: &str = "\
const [board, ways] = ['board', 'columns'].map((id) => document.getElementById(id));
const look = async () => {
  if (document.hidden) return;
  const said = document.getElementById('said');
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) throw new Error('HTTP ' + answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const next = page.getElementById('board');
    const focus = document.activeElement && document.activeElement.id;
    const known = new Map([...board.children].map((column) => [column.id, column]));
    const columns = [...next.children].map((column) => {
      const old = known.get(column.id);
      return old && old.outerHTML === column.outerHTML ? old : document.adoptNode(column);
    });
    const changed = columns.filter((column) => !column.isConnected);
    if (changed.length > 0 || columns.length !== board.children.length) {
      board.replaceChildren(...columns);
      ways.replaceChildren(...page.getElementById('columns').children);
      if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
      said.textContent = 'Changed: ' + changed.map((column) => column.querySelector('h2').textContent).join(', ');
    } else if (said.textContent.startsWith('Not read')) said.textContent = '';
  } catch (error) {
    said.textContent = 'Not read any more: has the command ended? ' + error.message;
  }
};
if (board) setInterval(look, 3000);";

/// The columns with their cards, the most urgent and oldest first.
pub(super) fn board(mut cards: Vec<Card>, unreadable: usize, path: &str) -> String {
    cards.sort_by(|one, other| one.rank().cmp(&other.rank()));
    let mut columns: BTreeMap<(usize, &str), Vec<&Card>> =
        COLUMNS.iter().enumerate().map(|(at, status)| ((at, status.as_str()), Vec::new())).collect();
    for card in &cards {
        let at = COLUMNS.iter().position(|status| *status == card.task.status).unwrap_or(COLUMNS.len());
        columns.entry((at, card.task.status.as_str())).or_default().push(card);
    }
    let left_out = match unreadable {
        0 => String::new(),
        count => format!("<p>{count} items of the table are no tasks and were left out.</p>\n"),
    };
    let ways: String = columns.iter().map(|((_, name), cards)| way(name, cards.len())).collect();
    let columns: String = columns.iter().map(|((_, name), cards)| column(name, cards, path)).collect();
    format!(
        "<p><a href=\"/{path}/state\">Deliveries and checks</a></p>\n\
         <nav id=\"columns\" aria-label=\"Columns\">\n{ways}</nav>\n\
         <p id=\"said\" class=\"faint\" role=\"status\"></p>\n{left_out}<main id=\"board\">\n{columns}</main>"
    )
}

/// The way to a column for who has a keyboard, or a screen on which the columns stand one below the other.
fn way(name: &str, cards: usize) -> String {
    let id = escape(name);
    format!("<a id=\"way-{id}\" href=\"#column-{id}\">{} ({cards})</a>\n", shown(name))
}

fn shown(name: &str) -> String {
    if name.is_empty() { "no status".to_owned() } else { escape(name) }
}

fn column(name: &str, cards: &[&Card], path: &str) -> String {
    let id = escape(name);
    let shown = shown(name);
    let cards_html: String = cards.iter().map(|card| short(card, path)).collect();
    format!(
        "<section id=\"column-{id}\" tabindex=\"-1\" aria-labelledby=\"name-{id}\"><h2 id=\"name-{id}\">{shown} ({})</h2>\n\
         <ul class=\"cards\">\n{cards_html}</ul></section>\n",
        cards.len()
    )
}

fn short(card: &Card, path: &str) -> String {
    let task = &card.task;
    let id = task.id.as_str();
    let class = if task.has_merge_conflict == Some(true) { " class=\"conflict\"" } else { "" };
    let facts = [card.board.priority.as_deref(), Some(task.id.prefix()), task.repository.as_deref()];
    let facts: Vec<_> = facts.into_iter().flatten().map(escape).collect();
    let current = task.pull_request.as_ref().and_then(|key| task.pull_requests.get_key_value(key));
    let current = current.map(|(key, linked)| format!("<p>{}</p>", pull_request(key, linked))).unwrap_or_default();
    format!(
        "<li{class}><a id=\"card-{id}\" href=\"/{path}/{id}\">{}</a><p class=\"faint\">{}</p>{current}{}</li>\n",
        escape(title(card)),
        facts.join(" · "),
        conflict(task)
    )
}

fn pull_request(key: &PullRequestKey, linked: &LinkedPullRequest) -> String {
    let number = key.parts().map_or_else(String::new, |(_, number)| number.to_string());
    format!("{} {}", link(&linked.url, &format!("#{number}")), linked.state.as_str())
}

fn conflict(task: &Task) -> String {
    if task.has_merge_conflict != Some(true) {
        return String::new();
    }
    let since = task.conflict_caused_by.as_deref().map(|url| format!(", since {} was merged", link(url, &called(url))));
    format!("<p class=\"bad\">conflicts with its base{}</p>", since.unwrap_or_default())
}

/// A pull request's page by its number, as the board has little room.
fn called(url: &str) -> String {
    let number = url.rsplit_once("/pull/").map(|(_, number)| number);
    let number = number.filter(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()));
    number.map_or_else(|| url.to_owned(), |number| format!("#{number}"))
}

/// A link where the text is a page's address, and text where it is anything else, such as `javascript:`.
fn link(url: &str, text: &str) -> String {
    let text = escape(text);
    if url.starts_with("https://") || url.starts_with("http://") {
        format!("<a href=\"{}\" rel=\"noreferrer\">{text}</a>", escape(url))
    } else {
        text
    }
}

/// A card with all its pull requests and what was done to it, the newest first.
pub(super) fn card(card: &Card, path: &str, now: Timestamp) -> String {
    let task = &card.task;
    let facts = [
        ("id", Some(task.id.as_str())),
        ("column", Some(task.status.as_str()).filter(|name| !name.is_empty())),
        ("priority", card.board.priority.as_deref()),
        ("repository", task.repository.as_deref()),
        ("created", card.board.created_at.as_deref()),
        ("updated", card.board.updated_at.as_deref()),
    ];
    let facts = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let facts: String = facts.map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value))).collect();
    let pull_requests: String =
        task.pull_requests.iter().map(|(key, linked)| format!("<li>{}</li>\n", pull_request(key, linked))).collect();
    let entries = task.history.iter().rev();
    let done = entries.map(|entry| {
        let at = escape(&history::at(entry, now));
        format!("<li><span class=\"faint\">{at}</span><br>{}</li>\n", escape(&history::done(entry)))
    });
    let done: String = done.collect();
    let section = |name: &str, list: &str, tag: &str| {
        if list.is_empty() { String::new() } else { format!("<h2>{name}</h2>\n<{tag}>\n{list}</{tag}>\n") }
    };
    format!(
        "<p><a href=\"/{path}\">Back to the board</a></p>\n<main class=\"page\">\n<dl>\n{facts}</dl>\n{}{}{}</main>",
        conflict(task),
        section("Pull requests", &pull_requests, "ul"),
        section("History, the newest first", &done, "ol"),
    )
}

pub(super) fn title(card: &Card) -> &str {
    card.task.title.as_deref().unwrap_or("(no title)")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>\"' onload=x &amp; \u{202e}txt";
    const ID: &str = "4d9d444d0198c5c27f00aabbccddeeff";

    fn read(item: &Value) -> Card {
        Card::read(serde_dynamo::to_item(item).unwrap()).unwrap()
    }

    fn hostile() -> Card {
        let entry = json!({"at": 1_795_500_000, "what": HOSTILE, "why": HOSTILE, "pull_request": HOSTILE, "by": HOSTILE,
            "delivery": HOSTILE});
        let linked = json!({"state": "open", "url": "javascript:alert(1)", "created_at": "2026-11-24T06:00:00Z",
            "mergeability": "conflicting"});
        read(&json!({"prefix": &ID[..8], "id": ID, "title": HOSTILE, "status": HOSTILE, "priority": HOSTILE,
            "repository": HOSTILE, "created_at": HOSTILE, "updated_at": HOSTILE, "pull_requests": {"7#42": linked},
            "pull_request": "7#42", "has_merge_conflict": true, "conflict_caused_by": format!("https://x/{HOSTILE}"),
            "history": [entry]}))
    }

    /// The names of a page's elements, and all its attributes: what text that got out would add to.
    fn marks(html: &str) -> Vec<&str> {
        html.split('<').skip(1).filter_map(|mark| mark.split_once('>')).map(|(mark, _)| mark).collect()
    }

    #[test]
    fn other_peoples_text_stays_text() {
        for html in [
            board(vec![hostile()], 0, "secret"),
            card(&hostile(), "secret", Timestamp::UNIX_EPOCH),
            crate::local_page::html(title(&hostile()), "", PageStyle { style: "", script: None }),
        ] {
            assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
            assert!(!html.contains('\u{202e}'), "{html}");
            for mark in marks(&html) {
                let name = mark.trim_start_matches('/').split(' ').next().unwrap();
                assert!(name != "script" && !mark.contains("javascript:"), "{mark}");
                // Whatever the text brings along stands between quotes.
                let outside: String = mark.split('"').step_by(2).collect();
                assert!(!outside.contains("onload"), "{mark}");
            }
        }
    }

    #[test]
    fn the_columns_stand_in_the_boards_order_with_their_cards_the_most_urgent_first() {
        let of = |digits: &str, status: &str, priority: &str| {
            read(
                &json!({"id": format!("{digits}{}", &ID[8..]), "title": digits, "status": status, "priority": priority}),
            )
        };
        let cards = vec![
            of("aaaaaaaa", "to_do", "p3"),
            of("bbbbbbbb", "to_do", "p0"),
            of("cccccccc", "blocked", "p1"),
            of("dddddddd", "idea", "p1"),
        ];
        let html = board(cards, 2, "secret");
        let mut rest = html.as_str();
        for words in [
            "2 items of the table",
            "idea (1)",
            "dddddddd",
            "to_do (2)",
            "bbbbbbbb",
            "aaaaaaaa",
            "trash (0)",
            "blocked (1)",
        ] {
            let at = rest.find(words).unwrap_or_else(|| panic!("{words} is not there, or too early: {html}"));
            rest = &rest[at..];
        }
    }

    #[test]
    fn a_conflict_names_who_caused_it() {
        let html = board(vec![hostile()], 0, "secret");
        assert!(html.contains("conflicts with its base, since <a href=\"https://x/"), "{html}");
        assert!(html.contains("<p>#42 open</p>"), "what is no page's address is no link: {html}");
    }
}
