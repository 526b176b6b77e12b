//! What a pull request is called, so that its title names its task. Whether it does is asked of the rule that reads titles.

use domain::ids::TaskId;
use domain::kid_tag::{KidTag, Tags};

use crate::text::printable;

/// GitHub takes no longer title.
const MOST_CHARACTERS: usize = 256;

/// A title that is asked for, or what the task is called.
pub(super) fn new(asked: Option<&str>, task: Option<&str>, id: &TaskId, tag: &KidTag) -> Result<String, String> {
    let words = |text: &str| printable(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(asked) = asked {
        return tagged(&words(asked), id, tag);
    }
    let mut title = words(task.unwrap_or_default());
    if title.is_empty() {
        title = format!("Task {}", id.prefix());
    }
    // What a task's own title says of other tasks is about them: in a pull request's title it would link them.
    if Tags::of(&title).named.iter().any(|named| !named.names(id)) {
        title = title.replace('[', "(").replace(']', ")");
    }
    tagged(&title, id, tag)
}

/// The title with the tag, and with every tag that it has; itself where it names the task already.
pub(super) fn tagged(title: &str, id: &TaskId, tag: &KidTag) -> Result<String, String> {
    // A shorter tag than this names other tasks too, and so moves none.
    let names = |title: &str| {
        Tags::of(title).named.iter().any(|named| named.names(id) && named.as_str().len() >= tag.as_str().len())
    };
    if names(title) && title.chars().count() <= MOST_CHARACTERS {
        return Ok(title.to_owned());
    }
    let before = Tags::of(title).named;
    let written = format!("[kid: #{tag}]");
    let rest = cut(title, MOST_CHARACTERS - written.len() - 1);
    // In front where the end does not count, as behind a quote that is not closed.
    [format!("{rest} {written}"), format!("{written} {rest}")]
        .into_iter()
        .map(|title| title.trim().to_owned())
        .find(|title| names(title) && before.iter().all(|tag| Tags::of(title).named.contains(tag)))
        .ok_or_else(|| format!("there is no room for {written} in the title {title:?}: shorten it, or take a tag out"))
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use domain::ids::TaskId;
    use domain::kid_tag::{KidTag, Tags};

    use super::{MOST_CHARACTERS, new, tagged};

    fn id() -> TaskId {
        "4d9d444d0198c5c27f00aabbccddeeff".parse().unwrap()
    }

    fn tag(digits: &str) -> KidTag {
        KidTag::parse(digits).unwrap()
    }

    #[test]
    fn a_title_is_the_tasks_with_its_tag() {
        let new = |asked, task| new(asked, task, &id(), &tag("4d9d444d"));
        assert_eq!(new(None, Some("Fix login")), Ok("Fix login [kid: #4d9d444d]".to_owned()));
        assert_eq!(new(None, Some(" Fix\n login ")), Ok("Fix login [kid: #4d9d444d]".to_owned()));
        assert_eq!(new(None, None), Ok("Task 4d9d444d [kid: #4d9d444d]".to_owned()));
        assert_eq!(new(Some("Mend it"), Some("Fix login")), Ok("Mend it [kid: #4d9d444d]".to_owned()));
        assert_eq!(new(Some("[kid: #4D9D444D] Mend it"), None), Ok("[kid: #4D9D444D] Mend it".to_owned()));
        let other = "Follow-up to [kid: #bbbbbbbb]";
        assert_eq!(new(None, Some(other)), Ok("Follow-up to (kid: #bbbbbbbb) [kid: #4d9d444d]".to_owned()));
        assert_eq!(new(Some(other), None), Ok("Follow-up to [kid: #bbbbbbbb] [kid: #4d9d444d]".to_owned()));
    }

    #[test]
    fn a_title_that_names_the_task_stays() {
        for title in
            ["Fix [kid: #4d9d444d]", "[kid: #4D9D444D-0198] Fix", "Fix [kid: #4d9d444d0198c5c27f00aabbccddeeff]"]
        {
            assert_eq!(tagged(title, &id(), &tag("4d9d444d")).as_deref(), Ok(title));
        }
        let short = tagged("Fix [kid: #4d9d444d]", &id(), &tag("4d9d444d01")).unwrap();
        assert_eq!(short, "Fix [kid: #4d9d444d] [kid: #4d9d444d01]", "8 digits are also another task's");
    }

    #[test]
    fn a_tag_goes_where_it_counts() {
        for title in [
            "Fix login",
            r#"Revert "Fix login [kid: #4d9d444d]""#,
            r#"Revert "Fix login [kid: #4d9d444d]"#,
            "Fix login [kid: #4d9d4…",
            "",
            &"long ".repeat(100),
            &format!("{} [kid: #bbbbbbbb]", "é".repeat(200)),
        ] {
            let titled = tagged(title, &id(), &tag("4d9d444d")).unwrap();
            assert!(Tags::of(&titled).named.contains(&tag("4d9d444d")), "{titled:?}");
            assert!(titled.chars().count() <= MOST_CHARACTERS, "{titled:?}");
            assert_eq!(tagged(&titled, &id(), &tag("4d9d444d")), Ok(titled.clone()), "once is enough");
        }
        let many: String = (0..8).map(|at| format!("[kid: #{at:08x}]")).collect();
        assert!(tagged(&many, &id(), &tag("4d9d444d")).is_err(), "eight tags count, and none of them may be lost");
        let full = format!("{} [kid: #bbbbbbbb]", "x".repeat(MOST_CHARACTERS - 17));
        assert!(tagged(&full, &id(), &tag("4d9d444d")).is_err(), "what is cut off must not be another task's tag");
    }
}
