//! Git over HTTP, by git's own `http-backend`, behind GitHub's rules for who may read and write.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::answer::{Call, RouteResponse};
use super::app::SLUG;
use super::auth::Caller;
use super::github::{GitHub, Shared};
use super::lfs;
use super::state::State;
use super::tokens::allows;

impl GitHub {
    /// Gives a repository a real git repository with these files on `main`, and the repository itself if need be.
    pub async fn create_git_repository(&self, full_name: &str, files: &[(&str, &str)]) {
        let known = self.state().named(full_name);
        let id = known.unwrap_or_else(|| self.create_repository(full_name, true));
        let folder = self.state().git_folder(id);
        git(&["init", "--quiet", "--bare", "--initial-branch=main", &folder.display().to_string()], b"").await;
        let import = commit(files);
        git(&["-C", &folder.display().to_string(), "fast-import", "--quiet"], import.as_bytes()).await;
    }

    /// Where the bare repository is kept, to look at what was pushed.
    pub fn git_folder(&self, full_name: &str) -> PathBuf {
        let mut state = self.state();
        let id = state.repository(full_name).id;
        state.git_folder(id)
    }
}

fn commit(files: &[(&str, &str)]) -> String {
    let message = "first commit";
    let mut text = format!(
        "commit refs/heads/main\ncommitter Octocat <octocat@github.com> 1767225600 +0000\ndata {}\n{message}\n",
        message.len()
    );
    for (path, content) in files {
        text.push_str(&format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len()));
    }
    text
}

async fn git(arguments: &[&str], input: &[u8]) {
    let output = run(Command::new("git").args(arguments), input).await.expect("run git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn run(command: &mut Command, input: &[u8]) -> std::io::Result<std::process::Output> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().expect("a piped stdin");
    // Both at once: git answers before it has read everything, and a full pipe would stop it.
    let (written, output) = tokio::join!(
        async move {
            let written = stdin.write_all(input).await;
            drop(stdin);
            written
        },
        child.wait_with_output()
    );
    // A backend that has heard enough closes its input; its answer is what counts.
    let _ = written;
    output
}

/// What a git path asks for, and of which repository.
struct Asked {
    repository: u64,
    rest: String,
    write: bool,
}

impl State {
    pub(super) fn git_folder(&mut self, id: u64) -> PathBuf {
        let root = self.git.get_or_insert_with(|| TempDir::new().expect("a folder for git"));
        root.path().join(format!("{id}.git"))
    }

    fn admit_git(&mut self, call: &Call, full_name: &str, rest: &str) -> Result<Asked, RouteResponse> {
        let caller = self.git_caller(call)?;
        let missing = || RouteResponse::new(404, "text/plain", "Repository not found.");
        let write = rest == "/git-receive-pack"
            || call.parameter("service") == Some("git-receive-pack")
            || (rest == lfs::BATCH && lfs::uploads(call));
        let former = self.repositories.formerly(full_name);
        let id = self.named(full_name).or(former);
        let Some(id) = id else {
            return Err(if matches!(caller, Caller::Anonymous) { unauthorized() } else { missing() });
        };
        let private = self.repositories[&id].private;
        match &caller {
            Caller::Installation(token) if self.reach(token).contains(&id) => {
                let wanted = if write { "write" } else { "read" };
                if !allows(&token.permissions, "contents", wanted) && (write || private) {
                    let text = format!("Permission to {full_name}.git denied to {SLUG}[bot].");
                    return Err(RouteResponse::new(403, "text/plain", text));
                }
            }
            Caller::Anonymous if private || write => return Err(unauthorized()),
            Caller::Installation(_) if private => return Err(missing()),
            Caller::Installation(_) if write => {
                let text = format!("Permission to {full_name}.git denied to {SLUG}[bot].");
                return Err(RouteResponse::new(403, "text/plain", text));
            }
            _ => {}
        }
        let today = &self.repositories[&id].full_name;
        if !today.eq_ignore_ascii_case(full_name) {
            let query = call.parameter("service").map(|service| format!("?service={service}")).unwrap_or_default();
            return Err(RouteResponse::moved(&format!("{}/{today}.git{rest}{query}", self.url)));
        }
        Ok(Asked { repository: id, rest: rest.to_owned(), write })
    }

    fn git_caller(&mut self, call: &Call) -> Result<Caller, RouteResponse> {
        match call.basic() {
            None => Ok(Caller::Anonymous),
            Some((user, token)) if user == "x-access-token" => {
                let live = self.live_token(&token).map(Caller::Installation);
                live.map_err(|refusal| if refusal.status == 401 { unauthorized() } else { refusal })
            }
            Some(_) => Err(unauthorized()),
        }
    }
}

fn unauthorized() -> RouteResponse {
    let answer = RouteResponse::new(401, "text/plain", "No anonymous write access.");
    answer.with("www-authenticate", "Basic realm=\"GitHub\"".to_owned())
}

/// Splits `/owner/name.git/rest` or `/owner/name/info/refs`.
pub(super) fn git_path(path: &str) -> Option<(String, String)> {
    let services = ["/info/refs", "/git-upload-pack", "/git-receive-pack", lfs::BATCH, lfs::VERIFY_LOCKS];
    let service = services.into_iter().find(|service| path.ends_with(service))?;
    let name = path.strip_suffix(service)?.strip_prefix('/')?;
    let name = name.strip_suffix(".git").unwrap_or(name);
    (name.split('/').count() == 2).then(|| (name.to_owned(), service.to_owned()))
}

pub(super) async fn serve(shared: &Shared, call: &Call, full_name: &str, rest: &str) -> RouteResponse {
    let (asked, folder) = {
        let mut state = shared.state();
        match state.admit_git(call, full_name, rest) {
            Err(refusal) => return refusal,
            Ok(asked) if rest.starts_with("/info/lfs") => {
                return state.lfs(call, asked.repository, rest).unwrap_or_else(|refusal| refusal);
            }
            Ok(asked) => {
                let folder = state.git_folder(asked.repository);
                (asked, folder)
            }
        }
    };
    if !folder.exists() {
        return RouteResponse::new(404, "text/plain", "Repository not found.");
    }
    let output = run(&mut backend(call, &folder, &asked), &call.body).await.expect("run git http-backend");
    parse_cgi(&output.stdout)
        .unwrap_or_else(|| RouteResponse::new(500, "text/plain", String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn backend(call: &Call, folder: &Path, asked: &Asked) -> Command {
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "http.receivepack")
        .env("GIT_CONFIG_VALUE_0", "true")
        .env("GIT_CONFIG_KEY_1", "safe.directory")
        .env("GIT_CONFIG_VALUE_1", "*")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", &asked.rest)
        .env("REQUEST_METHOD", call.method.as_str())
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_LENGTH", call.body.len().to_string());
    if let Some(service) = call.parameter("service") {
        command.env("QUERY_STRING", format!("service={service}"));
    }
    if asked.write {
        command.env("REMOTE_USER", format!("{SLUG}[bot]"));
    }
    let passed = [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ];
    for (header, variable) in passed {
        if let Some(value) = call.header(header) {
            command.env(variable, value);
        }
    }
    command
}

fn parse_cgi(output: &[u8]) -> Option<RouteResponse> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n")?;
    let mut answer = RouteResponse::empty(200);
    for line in std::str::from_utf8(&output[..end]).ok()?.split("\r\n") {
        let (name, value) = line.split_once(": ")?;
        if name.eq_ignore_ascii_case("status") {
            answer.status = value.split(' ').next()?.parse().ok()?;
        } else {
            answer = answer.with(&name.to_lowercase(), value.to_owned());
        }
    }
    answer.body = output[end + 4..].to_vec();
    Some(answer)
}
