//! A newcomer's three ways through the product, each at a shell on a narrow and on a wide terminal: what has to be typed and clicked
//! is counted, and no line is wider than the terminal. How long each took is printed and promised by nothing.
//!
//! A way begins where the machine is ready: Rust and a clone, a stack that `make deploy` has left, the command and AWS credentials of an agent.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use local_aws::lambda::binary;
use stack::{AGENT, PUSHER, REPOSITORY, Stack};
use unicode_width::UnicodeWidthStr;

use crate::harness::agent::Agent;
use crate::harness::operator::Operator;
use crate::harness::terminal::Terminal;
use crate::scenarios::create::{Browser, deployed, install, opened, with_xdg_open};

const COLUMNS: [u16; 2] = [80, 200];

/// The shell's prompt, behind the exit status of what was run.
const PROMPT: &str = "]$ ";

/// Somebody at a shell, whose effort is counted.
struct Person {
    way: &'static str,
    columns: u16,
    shell: Terminal,
    lines: usize,
    clicks: usize,
    since: Instant,
}

impl Person {
    /// Takes the shell's environment and folder from a command.
    fn sits_down(way: &'static str, columns: u16, mut shell: Command) -> Self {
        shell.env("PS1", format!("[$?{PROMPT}")).env("TERM", "xterm");
        let mut shell = Terminal::start(columns, shell);
        shell.sees(PROMPT);
        Self { way, columns, shell, lines: 0, clicks: 0, since: Instant::now() }
    }

    fn types(&mut self, line: &str) {
        self.lines += 1;
        self.shell.types(line);
    }

    fn clicks(&mut self) {
        self.clicks += 1;
    }

    fn reads(&mut self, words: &str) -> String {
        self.shell.sees(words)
    }

    /// Runs a command that has to work, and gives what it showed.
    fn runs(&mut self, line: &str) -> String {
        self.types(line);
        let shown = self.reads(PROMPT);
        let shown = shown.strip_suffix("[0").unwrap_or_else(|| panic!("{line} failed: {shown}"));
        shown.split_once('\n').map_or("", |(_echo, shown)| shown).to_owned()
    }

    /// Holds what it took to come here against what is promised, and begins to count anew.
    fn took(&mut self, what: &str, lines: usize, clicks: usize) {
        let seconds = self.since.elapsed().as_secs_f64();
        let Self { way, columns, lines: typed, clicks: clicked, .. } = self;
        println!("{way} at {columns} columns: {what}: {typed} typed, {clicked} clicked, {seconds:.1} s");
        assert!(*typed <= lines && *clicked <= clicks, "{what} took {typed} lines and {clicked} clicks");
        (self.lines, self.clicks, self.since) = (0, 0, Instant::now());
    }

    /// Nothing that our programs showed was wider than the terminal. What git says, and what somebody types, is theirs.
    fn gets_up(mut self) {
        self.shell.types("exit");
        let (_, screen) = self.shell.ends();
        println!("{screen}");
        let mut of_git = false;
        for line in screen.split(['\n', '\r']).map(uncoloured) {
            if let Some((_, typed)) = line.split_once(PROMPT) {
                of_git = typed.starts_with("git ");
            } else {
                assert!(of_git || line.width() <= usize::from(self.columns), "{} columns: {line:?}", self.columns);
            }
        }
    }
}

/// Without what only colours.
fn uncoloured(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').get(1..).unwrap_or_default()
    })
}

fn shell() -> Command {
    let mut shell = Command::new("setsid");
    shell.args(["--ctty", "--wait", "sh", "-i"]);
    shell
}

/// The same on the machine of an agent or an operator.
fn shell_of(machine: &Agent<'_>) -> Command {
    machine.command(Path::new("setsid"), &["--ctty", "--wait", "sh", "-i"]).into_std()
}

/// A folder in which `make` does what the Makefile says, with the executables that are built, and leaves its files.
fn clone_of_ours(folder: &Path) {
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Makefile"), folder.join("Makefile")).unwrap();
    let stack = binary("stack");
    let cargo = format!(
        "#!/bin/sh\n[ \"$1\" = run ] || exit 0\nuntil [ \"$1\" = -- ]; do shift; done\nshift\nexec '{}' \"$@\"\n",
        stack.display()
    );
    std::fs::write(folder.join("cargo"), cargo).unwrap();
    std::fs::set_permissions(folder.join("cargo"), PermissionsExt::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluators_first_look() {
    for columns in COLUMNS {
        let folder = tempfile::tempdir().unwrap();
        clone_of_ours(folder.path());
        let shell = || {
            let mut shell = shell();
            shell.current_dir(folder.path()).env_clear().env("PATH", std::env::var("PATH").unwrap());
            shell
                .env("HOME", folder.path())
                .env("LC_ALL", "C.UTF-8")
                .env("CARGO", folder.path().join("cargo"))
                .env("PORT", "0");
            shell
        };
        let mut person = Person::sits_down("an evaluator", columns, shell());
        person.types("make run");
        let shown = person.reads("> ");
        let below = shown.split_once("The board on a page, as it changes:\n").unwrap().1;
        let url = below.lines().next().unwrap().trim().to_owned();
        let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        let page = async || http.get(&url).send().await.unwrap().text().await.unwrap();
        assert!(shown.contains("4d9d444d  Fix login timeout") && page().await.contains("pr_submitted (2)"), "{shown}");
        person.took("the board", 1, 0);

        person.lines = 1;
        person.types("merge 1");
        person.reads("4d9d444d Fix login timeout: moved pr_submitted → done");
        assert!(page().await.contains("done (1)"));
        person.took("a card that moved, with `make run`", 2, 0);

        // What the screen says to try, in another terminal.
        let hint = shown.lines().map(str::trim).find(|line| line.starts_with(". target/local.env")).unwrap();
        let mut another = Person::sits_down("an evaluator", columns, shell());
        assert!(another.runs(hint).contains("done (1)"));
        let explained = another.runs("konduktor-github-app explain 4d9d444d");
        assert!(explained.contains("Task 4d9d444d is done, by the merge of acme/app#1."), "{explained}");
        assert!(another.runs("konduktor-github-app verify").contains(" 0 failed"));
        another.gets_up();

        person.reads("> ");
        person.runs("quit");
        person.took("back at the shell", 1, 0);
        assert!(person.runs("make demo").contains("Every step held."));
        person.took("the main job, shown", 1, 0);
        person.gets_up();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_evening() {
    for columns in COLUMNS {
        let stack = deployed().await;
        let mut operator = Operator::new(&stack);
        with_xdg_open(&mut operator);
        let mut person = Person::sits_down("an operator", columns, shell_of(&operator));
        person.types("konduktor-github-app create --yes");
        person.reads("Create the App on this page:");
        let mut browser = Browser::new();
        // It opens and submits itself; the button is GitHub's.
        let form = browser.open(&opened(&operator).await).await.form();
        person.clicks();
        let back = browser.press(&form).await;
        browser.open(&back).await;
        person.clicks();
        install(&stack).await;
        assert!(person.reads(PROMPT).contains("GitHub App configured."));
        let verified = person.runs("konduktor-github-app verify");
        assert!(verified.contains(" 0 failed, 0 skipped"), "{verified}");
        person.took("configured and green", 2, 2);
        person.gets_up();
        stack.github.assert_nothing_unexpected();
    }
}

const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";

/// Keys as the AWS CLI keeps them: one with the AgentPolicy, one with the PusherPolicy.
fn agents_machine(stack: &Stack) -> Agent<'_> {
    let mut agent = Agent::new(stack);
    let keys = |name: &str, id: &str| format!("[{name}]\naws_access_key_id = {id}\naws_secret_access_key = local\n");
    std::fs::create_dir(agent.path(".aws")).unwrap();
    std::fs::write(agent.path(".aws/credentials"), keys("default", AGENT) + &keys("pushers", PUSHER)).unwrap();
    std::fs::write(agent.path("gitconfig"), "[user]\n\tname = Agent\n\temail = agent@example.com\n").unwrap();
    for (name, value) in [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("TOKEN_FUNCTION", "token:agents")]
    {
        agent.set(name, value);
    }
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_day() {
    for columns in COLUMNS {
        let stack = Stack::start().await;
        stack.github.keep_time();
        stack.github.set_permissions(&[("contents", "write"), ("metadata", "read"), ("pull_requests", "write")]);
        stack.github.accept_permissions(stack.installation);
        stack.create_task(TASK, "Fix login timeout", "to_do");
        let _triggers = stack.spawn_triggers();
        let agent = agents_machine(&stack);
        let mut person = Person::sits_down("an agent", columns, shell_of(&agent));
        person.runs("konduktor-github-app --profile pushers setup-git --push --function token:pushers");
        person.runs(&format!("git clone {} app", agent.url(REPOSITORY)));
        person.took("the first clone", 2, 0);

        person.runs("cd app");
        person.runs("git switch -c $(konduktor-github-app task start 4d9d444d)");
        person.runs("echo fixed > fix && git add fix && git commit -m 'Fix it'");
        person.runs("git push -u origin HEAD");
        person.took("the work, pushed", 4, 0);

        let shown = person.runs("konduktor-github-app pr 4d9d444d");
        assert!(shown.contains("https://github.com/acme/app/pull/1"), "{shown}");
        person.took("from the task to a tagged pull request", 1, 0);
        assert_eq!(stack.github.truth(REPOSITORY, 1).title, "Fix login timeout [kid: #4d9d444d]");

        stack.github.deliver(&stack.github.merge(REPOSITORY, 1)).await;
        assert!(person.runs("konduktor-github-app task wait 4d9d444d --until done").contains("done"));
        assert!(person.runs("konduktor-github-app task show 4d9d444d").contains("pr_submitted → done"));
        person.took("the card that moved, looked at", 2, 0);
        person.gets_up();
        stack.github.assert_nothing_unexpected();
    }
}
