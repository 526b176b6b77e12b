//! `task`: the board from a terminal, beside the functions that write the same items.

use crate::harness::terminal;
use fake_github::NewPullRequest;
use local_aws::lambda::binary;
use local_aws::{Fault, Rule};
use serde_json::{Value, json};
use stack::{BOARD, OPERATOR, REPOSITORY, Stack};
use unicode_width::UnicodeWidthStr;

use crate::harness::agent::{Agent, CLI};
use crate::harness::operator::Operator;

const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";

async fn create(agent: &Agent<'_>, arguments: &[&str]) -> Value {
    let arguments = [&["task", "create"], arguments, &["--json"]].concat();
    serde_json::from_str(&agent.cli(&arguments).await.printed()).unwrap()
}

fn put(stack: &Stack, id: &str, priority: Option<&str>, created_at: &str, more: Value) {
    let mut task = json!({"prefix": id[..8], "id": id, "title": format!("Task {}", &id[..2]), "status": "to_do",
        "created_at": created_at, "updated_at": created_at});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    if let Some(priority) = priority {
        task["priority"] = json!(priority);
    }
    stack.dynamodb.put("Tasks", &task);
}

/// A board of every kind of card; ids begin with the letter that a test looks for.
fn fill(stack: &Stack) {
    let day = |day: u32| format!("2026-11-{day:02}T09:00:00Z");
    let id = |digits: &str| format!("{digits}{}", &TASK[digits.len()..]);
    let linked = json!({"7#42": {"state": "open", "url": "https://github.com/acme/app/pull/42",
        "created_at": day(9), "mergeability": "conflicting"}});
    put(stack, &id("aa000001"), Some("p2"), &day(2), json!({"title": "ログインの時間切れ 👩‍💻🇯🇵 を直す"}));
    put(stack, &id("bb000001"), Some("p0"), &day(3), json!({"title": "Fix the login time-out that everybody sees"}));
    put(stack, &id("cc000001"), Some("p2"), &day(1), json!({"repository": "acme/app"}));
    put(stack, &id("dd000001"), None, &day(1), json!({"title": "\u{1b}[31mred\u{7} \u{202e}txt"}));
    let conflicting = json!({"status": "pr_submitted", "pull_requests": linked, "pull_request": "7#42",
        "has_merge_conflict": true, "repository": "acme/app", "repository_id": "7", "version": 3});
    put(stack, &id("ee000001"), Some("p1"), &day(1), conflicting);
    put(stack, &id("ff000001"), Some("p1"), &day(1), json!({"status": "trash"}));
    put(stack, &id("ff000002"), Some("p1"), &day(1), json!({"status": "blocked"}));
    for done in 10..25 {
        put(stack, &id(&format!("d0{done}0000")), Some("p4"), &day(done), json!({"status": "done"}));
    }
}

fn on_a_terminal(agent: &Agent<'_>, columns: u16, arguments: &[&str]) -> String {
    let arguments = [&["task", "list"], arguments].concat();
    terminal::run(agent.command(&binary(CLI), &arguments).into_std(), columns)
}

#[tokio::test]
async fn a_profile_that_is_named_wins_over_keys_in_the_environment() {
    let stack = Stack::start().await;
    let machine = Operator::new(&stack);
    let keys = format!("[board]\naws_access_key_id = {BOARD}\naws_secret_access_key = local\n");
    machine.file(".aws/credentials", &keys);
    for (arguments, who) in [(&["task", "list"][..], OPERATOR), (&["task", "list", "--profile", "board"], BOARD)] {
        stack.dynamodb.clear_calls();
        machine.cli(arguments).await.printed();
        let callers: Vec<_> = stack.dynamodb.calls().into_iter().map(|call| call.access_key_id).collect();
        assert!(!callers.is_empty() && callers.iter().all(|caller| caller == who), "{arguments:?}: {callers:?}");
    }
}

#[tokio::test]
async fn a_task_from_creation_to_done_by_its_merged_pull_request() {
    let stack = Stack::start().await;
    let mut agent = Agent::new(&stack);
    agent.set("AWS_ACCESS_KEY_ID", BOARD);
    // The table is found by the stack.
    agent.set("TASKS_TABLE", "");
    let line = agent.cli(&["task", "create", " Fix login timeout ", "--priority", "p1"]).await.printed();
    let (id, tag) = line.trim().split_once(' ').unwrap();
    assert_eq!(tag, format!("[kid: #{}]", &id[..8]));
    let created = stack.read(id);
    let time = created["created_at"].clone();
    assert_eq!(
        created,
        json!({"prefix": id[..8], "id": id, "title": "Fix login timeout", "status": "to_do", "priority": "p1",
            "created_at": time, "updated_at": time}),
        "the board's attributes and no others"
    );
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && &id[12..13] == "4", "{id}");

    assert_eq!(agent.cli(&["task", "tag", id]).await.printed(), format!("{tag}\n"));
    let moved = agent.cli(&["task", "move", &id[..8], "pr_submitted"]).await.printed();
    assert_eq!(moved, format!("{}: to_do → pr_submitted\n", &id[..8]));
    let opened = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled(&format!("Fix login {tag}")));
    let linked = stack.github.deliver(&opened).await;
    let merged = stack.github.deliver(&stack.github.merge(REPOSITORY, opened.number())).await;
    assert_eq!((linked.status, merged.status), (200, 200));
    let shown = agent.cli(&["task", "show", &id[..8]]).await.printed();
    for line in
        ["Fix login timeout", "status        done", "priority      p1", "repository    acme/app", "merged (current)"]
    {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let moved = "moved: pr_submitted → done; the pull request is merged";
    for (what, delivery) in [("linked", linked), (moved, merged)] {
        let told = format!("{what} · acme/app#{} · webhook, delivery {}\n", opened.number(), delivery.guid);
        assert!(shown.contains(&told), "{told}\n{shown}");
    }
    assert!(agent.cli(&["task", "list"]).await.printed().contains("Fix login timeout"));
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn create_takes_every_column_and_refuses_what_is_no_task() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    for status in ["idea", "to_do", "in_progress", "pr_submitted", "done", "trash"] {
        let task = create(&agent, &[status, "--status", status, "--repository", "acme/app"]).await;
        assert_eq!(stack.read(task["id"].as_str().unwrap()), task);
        assert_eq!((&task["status"], &task["repository"]), (&json!(status), &json!("acme/app")));
    }
    for arguments in [
        &["  "][..],
        &["two\nlines"],
        &["x", "--status", "doing"],
        &["x", "--priority", "p5"],
        &["x", "--repository", "app"],
        &["x", "--repository", "acme/app/more"],
    ] {
        let ended = agent.cli(&[&["task", "create"], arguments].concat()).await;
        assert!(!ended.ok && ended.stdout.is_empty() && !ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
    }
    assert_eq!(stack.dynamodb.scan("Tasks").len(), 6);
}

#[tokio::test]
async fn a_move_changes_the_column_and_nothing_that_is_the_functions() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    fill(&stack);
    let id = format!("ee000001{}", &TASK[8..]);
    let before = stack.read(&id);
    agent.cli(&["task", "move", "EE000001", "in_progress"]).await.printed();
    let mut after = stack.read(&id);
    assert_eq!(after["status"], "in_progress");
    assert_ne!(after["updated_at"], before["updated_at"]);
    for attribute in ["status", "updated_at"] {
        after[attribute] = before[attribute].clone();
    }
    assert_eq!(after, before);

    stack.dynamodb.clear_calls();
    let again = agent.cli(&["task", "move", "ee000001", "in_progress"]).await.printed();
    assert_eq!(again, "ee000001 is in in_progress already\n");
    assert!(stack.dynamodb.calls().iter().all(|call| call.operation == "Query"), "nothing was written");
}

#[tokio::test]
async fn a_move_of_a_task_that_a_merge_moved_meanwhile_says_so() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    for meanwhile in [Some("done"), None] {
        stack.create_task(TASK, "Fix login", "pr_submitted");
        stack.dynamodb.clear_calls();
        let late = Fault::Delay(std::time::Duration::from_secs(2));
        stack.dynamodb.fail(Rule::new(late).operation("UpdateItem").times(1));
        let interferes = async {
            while !stack.dynamodb.calls().iter().any(|call| call.operation == "UpdateItem") {
                tokio::task::yield_now().await;
            }
            match meanwhile {
                Some(status) => stack.create_task(TASK, "Fix login", status),
                None => stack.dynamodb.delete("Tasks", &json!({"prefix": TASK[..8], "id": TASK})),
            }
        };
        let (ended, ()) = tokio::join!(agent.cli(&["task", "move", TASK, "to_do"]), interferes);
        let line = ended.advice();
        match meanwhile {
            Some(status) => {
                assert!(line.starts_with("4d9d444d was moved to done meanwhile"), "{line}");
                assert_eq!(stack.read(TASK)["status"], status);
            }
            None => {
                assert_eq!(line, "4d9d444d was deleted meanwhile");
                assert!(stack.dynamodb.scan("Tasks").is_empty(), "no task was made out of a deleted one");
            }
        }
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_taken_for_somebody_elses() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    for fault in [Fault::AnswerLost, Fault::AnswerReplaced] {
        stack.dynamodb.fail(Rule::new(fault).operation("PutItem").times(1));
        let task = create(&agent, &["Fix login"]).await;
        let id = task["id"].as_str().unwrap();
        stack.dynamodb.fail(Rule::new(fault).operation("UpdateItem").times(1));
        agent.cli(&["task", "move", id, "done"]).await.printed();
        assert_eq!(stack.read(id)["status"], "done");
    }
    assert_eq!(stack.dynamodb.scan("Tasks").len(), 2);
}

#[tokio::test]
async fn a_task_that_a_transaction_holds_is_written_once_it_is_free() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    stack.create_task(TASK, "Fix login", "to_do");
    stack.dynamodb.fail(Rule::new(Fault::TransactionConflict).operation("UpdateItem").times(2));
    agent.cli(&["task", "move", TASK, "done"]).await.printed();
    assert_eq!(stack.read(TASK)["status"], "done");
}

#[tokio::test]
async fn the_tag_is_as_long_as_other_tasks_make_it() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    stack.create_task(TASK, "Fix login", "to_do");
    assert_eq!(agent.cli(&["task", "tag", "4d9d444d"]).await.printed(), "[kid: #4d9d444d]\n");
    stack.create_task(&format!("{}0", &TASK[..31]), "Its twin", "to_do");
    stack.create_task(&format!("4d9d444dff{}", &TASK[10..]), "Its cousin", "to_do");
    assert_eq!(agent.cli(&["task", "tag", TASK]).await.printed(), format!("[kid: #{TASK}]\n"));
    assert_eq!(agent.cli(&["task", "tag", "4d9d444dff"]).await.printed(), "[kid: #4d9d444df]\n");
    let hyphens = "4d9d444d-0198-c5c2-7f00-aabbccddeeff";
    assert_eq!(agent.cli(&["task", "tag", hyphens]).await.printed(), format!("[kid: #{TASK}]\n"));
    for command in [&["show"][..], &["tag"], &["move"]] {
        let status: &[&str] = if command == ["move"] { &["done"] } else { &[] };
        let line = agent.cli(&[&["task"], command, &["4d9d444d0"], status].concat()).await.advice();
        assert!(line.starts_with("more than one task") && line.ends_with("give more digits"), "{line}");
        let line = agent.cli(&[&["task"], command, &["00000000"], status].concat()).await.advice();
        assert!(line.starts_with("no task has an id that begins with 00000000"), "{line}");
        assert!(!agent.cli(&[&["task"], command, &["4d9d444"], status].concat()).await.ok, "seven digits are too few");
    }
}

#[tokio::test]
async fn a_list_in_a_pipe_has_a_line_a_task_the_most_urgent_and_oldest_first() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    fill(&stack);
    stack.dynamodb.put("Tasks", &json!({"prefix": "notatask", "id": "notatask"}));
    let listed = agent.cli(&["task", "list"]).await;
    assert!(listed.ok && listed.stderr.contains("1 items of the table are no tasks"), "{listed:?}");
    let lines: Vec<Vec<&str>> = listed.stdout.lines().map(|line| line.split('\t').collect()).collect();
    let order: Vec<&str> = lines.iter().map(|line| &line[0][..2]).collect();
    assert_eq!(order[..5], ["bb", "ee", "ff", "cc", "aa"]);
    assert_eq!(order.last(), Some(&"dd"), "what has no priority comes last");
    assert_eq!(lines.len(), 21, "all but the trash");
    assert_eq!(lines[1][1..], ["pr_submitted", "p1", "acme/app", "conflict", "Task ee"]);
    assert!(!listed.stdout.contains(['\u{1b}', '\u{7}', '\u{202e}']), "titles cannot write to a terminal");

    let only = agent.cli(&["task", "list", "--status", "trash"]).await;
    assert!(only.stdout.starts_with("ff000001") && only.stdout.lines().count() == 1, "{only:?}");
    let json = agent.cli(&["task", "list", "--all", "--json"]).await;
    let tasks: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(tasks.len(), 22);
    assert_eq!(tasks[1], stack.read(tasks[1]["id"].as_str().unwrap()), "everything that the table holds");
}

#[tokio::test]
async fn a_list_reads_every_page_of_a_big_table() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    let long = "x".repeat(20_000);
    for number in 0..120 {
        let id = format!("{number:08x}{}", &TASK[8..]);
        put(&stack, &id, Some("p2"), "2026-11-23T09:00:00Z", json!({ "notes": long }));
    }
    assert_eq!(agent.cli(&["task", "list"]).await.printed().lines().count(), 120);
    assert!(stack.dynamodb.calls().iter().filter(|call| call.operation == "Scan").count() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_on_a_terminal_is_a_board_that_fits_it() {
    let stack = Stack::start().await;
    let mut agent = Agent::new(&stack);
    agent.set("TERM", "xterm-256color");
    fill(&stack);
    let board = on_a_terminal(&agent, 160, &[]);
    let heads = board.lines().next().unwrap();
    for head in ["idea (0)", "to_do (4)", "in_progress (0)", "pr_submitted (1)", "done (15)", "blocked (1)"] {
        assert!(heads.contains(head), "{head}\n{board}");
    }
    assert!(!board.contains("trash"), "{board}");
    assert!(board.contains("\u{1b}[1midea (0)\u{1b}[0m"), "headings are bold: {board:?}");
    assert!(board.contains("#42 conflicts") && board.contains("and 5 more (--all)"), "{board}");
    assert!(!board.contains('\u{7}') && !board.contains("\u{1b}[31mred"), "titles cannot write to a terminal");
    let latest: Vec<usize> = ["d0240000", "d0150000"].iter().map(|id| board.find(id).unwrap()).collect();
    assert!(latest[0] < latest[1] && !board.contains("d0140000"), "the latest ten that are done: {board}");
    assert!(on_a_terminal(&agent, 160, &["--all"]).contains("d0140000"));

    agent.set("NO_COLOR", "1");
    for columns in [160, 80, 40, 12] {
        let board = on_a_terminal(&agent, columns, &[]);
        assert!(!board.contains('\u{1b}'), "{board:?}");
        let widest = board.lines().map(UnicodeWidthStr::width).max().unwrap();
        assert!(widest <= usize::from(columns), "{columns}: {widest}\n{board}");
        assert!(board.contains("bb000001"), "{board}");
    }
    assert_eq!(on_a_terminal(&agent, 80, &["--status", "idea"]).trim(), "idea (0)");
}

/// Five hundred tasks in five columns, every tenth of acme/api and every twentieth in conflict.
fn fill_with_500(stack: &Stack) {
    for number in 0..500_u32 {
        let status = ["idea", "to_do", "in_progress", "pr_submitted", "done"][(number % 5) as usize];
        let repository = if number % 10 == 1 { "acme/api" } else { "acme/app" };
        let mut more = json!({"status": status, "repository": repository});
        if number % 20 == 3 {
            more["has_merge_conflict"] = json!(true);
        }
        let day = format!("2026-11-{:02}T09:00:00Z", 1 + number % 20);
        put(stack, &format!("{number:08x}{}", &TASK[8..]), Some("p2"), &day, more);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_tasks_are_a_board_to_look_at() {
    let stack = Stack::start().await;
    let mut agent = Agent::new(&stack);
    agent.set("NO_COLOR", "1");
    fill_with_500(&stack);
    for columns in [200, 80] {
        let board = on_a_terminal(&agent, columns, &[]);
        assert_eq!(board.matches("and 80 more (--all)").count(), 4, "{board}");
        assert_eq!(board.matches("and 90 more (--all)").count(), 1, "{board}");
        assert_eq!(on_a_terminal(&agent, columns, &["--limit", "3"]).matches("and 97 more").count(), 5);
        assert!(!on_a_terminal(&agent, columns, &["--all"]).contains(" more"));
    }
    let lines =
        async |arguments: &[&str]| agent.cli(&[&["task", "list"], arguments].concat()).await.printed().lines().count();
    assert_eq!(lines(&[]).await, 500, "a pipe gets them all");
    assert_eq!(lines(&["--limit", "3"]).await, 15);
    assert_eq!(lines(&["--repository", "Acme/API"]).await, 50);
    assert_eq!(lines(&["--conflict"]).await, 25);
    assert_eq!(lines(&["--conflict", "--status", "pr_submitted", "--limit", "7"]).await, 7);
    assert!(!agent.cli(&["task", "list", "--limit", "0"]).await.ok);
}

#[tokio::test]
async fn mine_are_the_tasks_that_branches_of_this_clone_are_named_after() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    fill(&stack);
    let line = agent.cli(&["task", "list", "--mine"]).await.advice();
    assert!(line.contains("not a clone"), "{line}");
    assert!(agent.git("", &["init", "--quiet", "mine"]).await.ok);
    assert!(agent.git("mine", &["commit", "--quiet", "--allow-empty", "-m", "first"]).await.ok);
    for branch in ["bb000001-fix-login", "agent/CC000001"] {
        assert!(agent.git("mine", &["branch", branch]).await.ok);
    }
    let listed = agent.cli_in("mine", &["task", "list", "--mine"]).await.printed();
    let ids: Vec<&str> = listed.lines().map(|line| &line[..8]).collect();
    assert_eq!(ids, ["bb000001", "cc000001"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_longer_than_the_terminal_goes_through_the_pager() {
    let stack = Stack::start().await;
    let mut operator = Operator::new(&stack);
    operator.set("NO_COLOR", "1");
    fill_with_500(&stack);
    operator.set("PAGER", "sed 's/^/paged: /'");
    let (succeeded, screen) = operator.converse(&["task", "list"], &[]).await;
    assert!(succeeded && screen.lines().all(|line| line.starts_with("paged: ")), "{screen}");
    let (_, screen) = operator.converse(&["task", "list", "--limit", "1"], &[]).await;
    assert!(screen.starts_with("idea (100)"), "what fits is shown as it is: {screen}");
    operator.set("PAGER", "nobody-installed-this");
    let (succeeded, screen) = operator.converse(&["task", "list"], &[]).await;
    assert!(succeeded && screen.contains("and 80 more"), "{screen}");
}

#[tokio::test]
async fn a_watched_list_tells_each_change_once() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    stack.create_task(TASK, "Fix login", "to_do");
    let mut running = operator.start(&["task", "list", "--watch"]);
    running.shows("\tto_do\t").await;
    stack.move_task(TASK, "in_progress");
    running.shows("\tin_progress\t").await;
    running.press_ctrl_c();
    let ended = running.ends().await;
    assert!(ended.ok && ended.stdout.lines().count() == 2, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_list_is_drawn_anew_on_an_empty_screen() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    stack.create_task(TASK, "Fix login", "to_do");
    let command = operator.command(&binary(CLI), &["task", "list", "--watch"]).into_std();
    let started = tokio::task::spawn_blocking(|| {
        let mut terminal = terminal::Terminal::start(80, command);
        terminal.sees("\u{1b}[H\u{1b}[2J");
        terminal.sees("to_do (1)");
        terminal
    });
    let mut terminal = started.await.unwrap();
    stack.move_task(TASK, "in_progress");
    let seen = tokio::task::spawn_blocking(move || {
        terminal.sees("\u{1b}[H\u{1b}[2J");
        terminal.sees("in_progress (1)")
    });
    assert!(!seen.await.unwrap().contains("[2J"), "no code is shown as text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_shown_with_times_that_can_be_read_and_no_words_run_together() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    fill(&stack);
    let shown = agent.cli(&["task", "show", "ee000001"]).await.printed();
    for line in [
        "id            ee000001",
        "pull request  https://github.com/acme/app/pull/42 open (current)",
        "conflict      with its base branch",
        "created       2026-11-01 09:00:00 UTC (",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert!(shown.contains(" ago)"), "{shown}");
}

#[tokio::test]
async fn whatever_keeps_the_table_from_answering_has_a_line_that_says_what_to_do() {
    let stack = Stack::start().await;
    let mut agent = Agent::new(&stack);
    let list = ["task", "list"];
    let elsewhere = ["task", "list", "--tasks-table", "nobody-made-this"];
    let line = agent.cli(&elsewhere).await.advice();
    assert!(line.starts_with("there is no table nobody-made-this in eu-west-1: "), "{line}");
    for (command, action) in [
        (&list[..], "dynamodb:Scan"),
        (&["task", "show", TASK], "dynamodb:Query"),
        (&["task", "create", "x"], "dynamodb:PutItem"),
        (&["task", "move", TASK, "done"], "dynamodb:UpdateItem"),
    ] {
        stack.create_task(TASK, "Fix login", "to_do");
        let operation = action.split_once(':').unwrap().1;
        stack.dynamodb.fail(Rule::new(Fault::AccessDenied).operation(operation));
        let line = agent.cli(command).await.advice();
        assert!(line.contains("may not use the table Tasks") && line.contains(action), "{line}");
        stack.dynamodb.clear_faults();
    }
    stack.dynamodb.set_unreachable(true);
    let line = agent.cli(&list).await.advice();
    assert!(line.starts_with("DynamoDB in eu-west-1 does not answer"), "{line}");
    stack.dynamodb.set_unreachable(false);
    agent.set("TASKS_TABLE", "");
    assert!(agent.cli(&list).await.printed().starts_with(TASK), "the stack names its table");
    let line = agent.cli(&["task", "list", "--stack", "nobody-deployed-this"]).await.advice();
    assert!(line.starts_with("there is no stack nobody-deployed-this in eu-west-1: "), "{line}");
    agent.set("AWS_REGION", "");
    let line = agent.cli(&elsewhere).await.advice();
    assert!(line.starts_with("no AWS region"), "{line}");
}
