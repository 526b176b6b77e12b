//! `stack run`: the local stack kept up, with cards on its board and a prompt that does what people do at GitHub.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fake_github::{Event, NewPullRequest};
use local_aws::lambda::binary;
use serde_json::Value;
use stack::{REPOSITORY, Stack};
use tokio::sync::mpsc;

use crate::page::Page;
use crate::quoted;
use crate::show::{self, Cards, say, say_beside, text};

/// The front door's port, so that a tunnel or a second terminal can be told once.
const PORT: u16 = 9000;

/// What other terminals source.
const VARIABLES: &str = "target/local.env";

/// How long to look for what a command has brought about: reconcile asks GitHub again and again until it knows.
const SETTLES: Duration = Duration::from_secs(12);

const SEEDED: [(&str, &str, &str); 3] = [
    ("4d9d444d0198c5c27f00aabbccddeeff", "Fix login timeout", "pr_submitted"),
    ("b7c1e2f30198c5c27f00aabbccddeeff", "Add a changelog", "pr_submitted"),
    ("0c5a91d70198c5c27f00aabbccddeeff", "Write the guide", "to_do"),
];

const HELP: [(&str, &str); 8] = [
    ("open TITLE", "a pull request; with [kid: #0c5a91d7] in its title it is that task's"),
    ("push N", "its branch is brought up to date with main"),
    ("merge N", "it is merged, and its card moves"),
    ("conflict N", "something else is merged that touches the same file"),
    ("lose", "the next delivery is never made"),
    ("tick", "a quarter of an hour passes: everything is read again"),
    ("board", "the cards"),
    ("quit", "ends it"),
];

/// Runs until it is told to stop.
pub(super) async fn run(arguments: &[String]) -> ExitCode {
    let port = match std::env::var("PORT").ok().filter(|port| !port.is_empty()) {
        None => PORT,
        Some(text) => match text.parse() {
            Ok(port) => port,
            Err(_) => return stop(&format!("PORT={text} is no port: say a number such as PORT=9001")),
        },
    };
    if let Err(error) = std::net::TcpListener::bind(("127.0.0.1", port)) {
        return stop(&format!("port {port} cannot be listened on ({error}): say another, as in `make run PORT=9001`"));
    }
    let stack = Stack::on_port(port).await;
    stack.lambda.echo_logs(if arguments.iter().any(|word| word == "--json") { raw } else { short });
    seed(&stack).await;
    let _triggers = stack.spawn_triggers();
    if let Err(error) = write_variables(&stack) {
        return stop(&format!("{VARIABLES} cannot be written: {error}"));
    }
    let page = match Page::serve(&stack).await {
        Ok(page) => page,
        Err(reason) => return stop(&reason),
    };
    say(&format!("The local stack is up, its webhook at {}", stack.front.url()));
    say("The board on a page, as it changes:");
    say(&format!("  {}", page.url));
    say("From another terminal in this folder, and verify, explain, board as well:");
    say(&format!("  . {VARIABLES} && konduktor-github-app task list"));
    say("The board now:");
    println!();
    show_board(&stack);
    println!();
    say("Type what happens next, such as merge 1:");
    help();
    println!();
    converse(&stack).await;
    ExitCode::SUCCESS
}

fn show_board(stack: &Stack) {
    show::board(&show::cards(stack), show::widest() - 2).iter().for_each(|line| println!("  {line}"));
}

fn help() {
    for (word, what) in HELP {
        say_beside(&format!("  {word:<12} "), what);
    }
}

fn stop(line: &str) -> ExitCode {
    eprintln!("stack run: {line}");
    ExitCode::FAILURE
}

/// Cards with open pull requests, as they are after GitHub has told of them.
async fn seed(stack: &Stack) {
    for (id, title, status) in SEEDED {
        stack.create_task(id, title, status);
    }
    stack.github.keep_time();
    stack.github.deliver(&stack.github.ping_event()).await;
    for (id, title, _) in &SEEDED[..2] {
        let branch = title.to_lowercase().replace(' ', "-");
        let new = NewPullRequest { head_branch: branch.clone(), paths: vec![branch], ..titled(id, title) };
        stack.github.deliver(&stack.github.open_pull_request(REPOSITORY, new)).await;
    }
    stack.stream.drain().await;
}

fn titled(id: &str, title: &str) -> NewPullRequest {
    NewPullRequest::titled(&format!("{title} [kid: #{}]", &id[..8]))
}

/// The file holds the keys of a made-up App; what it is set up with is what makes the command line work at once.
fn write_variables(stack: &Stack) -> std::io::Result<()> {
    let mut lines: String =
        stack.environment().into_iter().map(|(name, value)| format!("export {name}={}\n", quoted(&value))).collect();
    // Nothing is installed by `make run`: the command lies where it was built.
    if let Some(folder) = binary("konduktor-github-app").parent() {
        lines.push_str(&format!("export PATH={}:\"$PATH\"\n", quoted(&folder.display().to_string())));
    }
    if let Some(folder) = Path::new(VARIABLES).parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(VARIABLES, lines)
}

/// Shows what changes as it happens, and does what is typed. Without anybody to type it goes on until Ctrl-C.
async fn converse(stack: &Stack) {
    let (sender, mut typed) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        let _ = lines.map(|line| sender.send(line)).take_while(Result::is_ok).count();
    });
    let mut listening = true;
    let mut seen = show::cards(stack);
    prompt();
    loop {
        tokio::select! {
            line = typed.recv(), if listening => match line.as_deref().map(str::trim) {
                Some("quit" | "exit") => return,
                Some("") => prompt(),
                Some(line) => {
                    obey(stack, line, &mut seen).await;
                    prompt();
                }
                // At a terminal Ctrl-D is an end; in a script there may never have been an input.
                None if std::io::stdin().is_terminal() => return,
                None => listening = false,
            },
            () = tokio::time::sleep(Duration::from_millis(300)) => tell(stack, &mut seen),
            _ = tokio::signal::ctrl_c() => return,
        }
    }
}

fn prompt() {
    use std::io::Write;
    if std::io::stdin().is_terminal() {
        print!("> ");
        let _ = std::io::stdout().flush();
    }
}

/// Says what changed since it was last looked at.
fn tell(stack: &Stack, seen: &mut Cards) {
    let now = show::cards(stack);
    show::changes(seen, &now).iter().for_each(|line| say(&format!("  {line}")));
    *seen = now;
}

async fn obey(stack: &Stack, line: &str, seen: &mut Cards) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let github = &stack.github;
    match word {
        "open" if !rest.trim().is_empty() => {
            // Each has a file of its own, so that nothing conflicts until `conflict` is said.
            let branch = format!("branch-{}", github.numbers(REPOSITORY).len() + 1);
            let new = NewPullRequest {
                head_branch: branch.clone(),
                paths: vec![branch],
                ..NewPullRequest::titled(rest.trim())
            };
            deliver(stack, &github.open_pull_request(REPOSITORY, new)).await;
        }
        "push" | "merge" | "conflict" => {
            let Some(number) = open_number(stack, rest) else {
                say(&format!("  say which open pull request: {word} N, of {}", open_numbers(stack).join(", ")));
                return;
            };
            if word == "merge" && github.truth(REPOSITORY, number).conflict {
                say(&format!("  #{number} conflicts, GitHub does not merge it: push {number}"));
                return;
            }
            match word {
                "push" => deliver(stack, &github.push_rebased(REPOSITORY, number)).await,
                "merge" => deliver(stack, &github.merge(REPOSITORY, number)).await,
                _ => collide(stack, number).await,
            }
        }
        "lose" => {
            github.lose_next();
            say("  the next delivery is lost; after it, tick");
        }
        "tick" => match stack.lambda.invoke("reconcile", stack::resync(None)).await {
            Ok(_) => say("  a quarter of an hour passed, and everything was read again"),
            Err(error) => say(&format!("  reconcile failed: {error}")),
        },
        "board" => {
            show_board(stack);
            return;
        }
        _ => {
            help();
            return;
        }
    }
    settle(stack, seen).await;
}

/// Another pull request is opened on the same file, and merged.
async fn collide(stack: &Stack, number: u64) {
    let paths = stack.github.paths(REPOSITORY, number);
    let new =
        NewPullRequest { head_branch: "collision".to_owned(), paths, ..NewPullRequest::titled("Touch the same file") };
    let opened = stack.github.open_pull_request(REPOSITORY, new);
    stack.github.deliver(&opened).await;
    say(&format!("  #{} touches the same file, and is merged", opened.number()));
    deliver(stack, &stack.github.merge(REPOSITORY, opened.number())).await;
}

/// Until the cards say what is so at GitHub, or something is lost and they cannot.
async fn settle(stack: &Stack, seen: &mut Cards) {
    let begun = tokio::time::Instant::now();
    let mut quiet = 0;
    while quiet < 4 && begun.elapsed() < SETTLES {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let before = seen.clone();
        tell(stack, seen);
        let unknown = show::board(seen, usize::MAX).iter().any(|line| line.contains("not known yet"));
        quiet = if before == *seen && !unknown { quiet + 1 } else { 0 };
    }
}

async fn deliver(stack: &Stack, event: &Event) {
    let action = text(&event.payload["action"]);
    let said = format!("#{} pull_request.{action}", event.number());
    match stack.github.deliver_unless_lost(event).await {
        Some(record) => {
            let answer: Value = serde_json::from_str(&record.body).unwrap_or_default();
            say(&format!("  {said} → {} {}", record.status, text(&answer["outcome"])));
        }
        None => say(&format!("  {said}: nobody was told")),
    }
}

fn open_numbers(stack: &Stack) -> Vec<String> {
    let numbers = stack.github.numbers(REPOSITORY).into_iter();
    let open = numbers.filter(|number| stack.github.truth(REPOSITORY, *number).state == fake_github::PullState::Open);
    open.map(|number| number.to_string()).collect()
}

fn open_number(stack: &Stack, text: &str) -> Option<u64> {
    // `1`, `#1`, `acme/app#1` or the page's address.
    let text = text.trim().rsplit(['#', '/']).next()?;
    open_numbers(stack).iter().any(|number| number == text).then(|| text.parse().ok())?
}

fn raw(function: &str, line: &str) -> Option<String> {
    Some(format!("{function:>9} | {line}"))
}

/// What somebody has to look at: the summary of a run that went well says nothing that the cards do not.
fn short(function: &str, line: &str) -> Option<String> {
    match serde_json::from_str::<Value>(line) {
        Ok(line) if matches!(line["level"].as_str(), Some("WARN" | "ERROR")) => {
            let fields = &line["fields"];
            let message =
                [&line["message"], &fields["message"]].into_iter().find_map(Value::as_str).unwrap_or_default();
            let error = [&line["error"], &fields["error"]].into_iter().find_map(Value::as_str).unwrap_or_default();
            Some(show::fitting(format!("{function:>9} | {} {message} {error}", text(&line["level"])).trim_end()))
        }
        Ok(_) => None,
        // What is no JSON was not written on purpose.
        Err(_) => raw(function, line),
    }
}
