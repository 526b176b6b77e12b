//! A task, and whether a merge would move it.

use domain::task::Status;

use super::report::Failed;
use crate::stack::Stack;
use crate::subject::Subject;
use crate::task::look_up;

pub(super) async fn check(stack: &Stack, named: &Subject) -> Result<String, Failed> {
    let task = look_up(&stack.session, &stack.tasks_table, named).await?;
    let mut seen = format!("{} is in {}", task.id, task.status);
    if !matches!(task.status, Status::PrSubmitted | Status::Done) {
        seen.push_str(", and a merge moves a task out of pr_submitted only");
    }
    if task.pull_requests.is_empty() {
        seen.push_str("; it has no pull request");
    }
    for (key, linked) in &task.pull_requests {
        let current = if task.pull_request.as_ref() == Some(key) { ", current" } else { "" };
        seen.push_str(&format!("; {} ({}{current})", linked.url, linked.state.as_str()));
    }
    Ok(seen)
}
