//! Who is measured: ours, the empty function, and what people would use instead, each behind a front door of its own.

use std::path::PathBuf;

use axum::body::Bytes;
use axum::http::Request;
use local_aws::lambda::{Front, Function, FunctionError, ProcessorTime};
use serde_json::Value;
use stack::{ROUTE, Stack};

use super::Bench;

/// Tasks are unlike from their first digits on, as a board makes them.
pub(super) fn new_task(stack: &Stack) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    stack.create_task(&id, "Fix login", "pr_submitted");
    id
}

/// One who answers deliveries.
pub(super) struct Contestant {
    /// What the tables call it.
    pub(super) label: &'static str,
    /// The name of its function.
    pub(super) function: String,
    front: Front,
}

/// Name, label, and the peer's or the function's executable.
const HOOKS: [(&str, &str); 4] =
    [("empty_http", "empty function"), ("webhook", "ours"), ("probot", "Probot"), ("python", "FastAPI + Mangum")];

impl Contestant {
    /// Those who answer deliveries. `variables` come besides, or instead of, those that the stack has for everybody.
    pub(super) async fn all(bench: &Bench, stack: &Stack, suffix: &str, variables: &[(&str, String)]) -> Vec<Self> {
        let mut all = Vec::new();
        for (name, label) in HOOKS {
            let function = format!("{name}{suffix}");
            stack.lambda.add(deployed(&function, executable(bench, name), stack, variables));
            let front = stack.lambda.front(&function, ROUTE).await;
            all.push(Self { label, function, front });
        }
        all
    }

    /// Hands it a delivery as API Gateway does.
    pub(super) async fn answer(&self, request: Request<Bytes>) -> Result<Value, FunctionError> {
        self.front.invoke_event(self.front.event(request)).await
    }

    /// What its processes spent so far.
    pub(super) fn processor_time(&self, stack: &Stack) -> ProcessorTime {
        stack.lambda.processor_time(&self.function)
    }

    /// Whether it moves cards: the empty function does not.
    pub(super) fn works(&self) -> bool {
        !self.function.starts_with("empty")
    }
}

/// The file that starts a contestant.
pub(super) fn executable(bench: &Bench, name: &str) -> PathBuf {
    match name {
        "empty_http" | "empty" => bench.function("examples").join(name),
        "probot" | "python" | "auth-app" => bench.peer(name),
        ours => bench.function(ours),
    }
}

/// A function with the variables of all contestants: tables, secrets, endpoints, and what Probot asks for.
pub(super) fn deployed(name: &str, executable: PathBuf, stack: &Stack, variables: &[(&str, String)]) -> Function {
    let app = stack.github.app();
    let common = stack
        .environment()
        .into_iter()
        .filter(|(name, _)| name.ends_with("_TABLE") || name.ends_with("_SECRET_ID") || name.contains("_URL"));
    let probot = [("APP_ID", app.id.to_string()), ("PRIVATE_KEY", app.pem), ("NODE_ENV", "production".to_owned())];
    let all = common.chain(probot).chain(variables.iter().cloned());
    all.fold(Function::new(name, executable), |function, (name, value)| function.variable(name, value))
}
