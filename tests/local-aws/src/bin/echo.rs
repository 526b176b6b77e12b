//! A function that does what its payload says: the subject of the Lambda host's tests.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    match variables.get("ECHO_INIT").map(String::as_str) {
        Some("exit") => std::process::exit(3),
        Some("hang") => std::future::pending().await,
        _ => lambda_runtime::run(service_fn(handle)).await,
    }
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    if let Some((_, answer)) = std::env::vars().find(|(name, _)| name == "ECHO_ANSWER") {
        return Ok(serde_json::from_str(&answer).unwrap_or_default());
    }
    let command = &command(&event.payload);
    let text = |name: &str| command[name].as_str().unwrap_or_default().to_owned();
    match command["command"].as_str() {
        Some("sleep") => tokio::time::sleep(Duration::from_millis(command["ms"].as_u64().unwrap_or(0))).await,
        Some("fail") => {
            return Err(Diagnostic { error_type: text("type"), error_message: text("message") });
        }
        Some("exit") => std::process::exit(i32::try_from(command["code"].as_i64().unwrap_or(0)).unwrap_or(1)),
        Some("panic") => unreachable!("{}", text("message")),
        Some("environment") => return Ok(json!(std::env::vars().collect::<BTreeMap<_, _>>())),
        Some("log") => eprintln!("{}", text("line")),
        Some("clock") => return Ok(json!(clock())),
        Some("context") => return Ok(context(&event)),
        Some("answer") => return Ok(command["answer"].clone()),
        _ => {}
    }
    Ok(event.payload)
}

/// What time the process thinks it is, epoch seconds.
#[expect(clippy::disallowed_methods, reason = "which clock it reads is what is tested")]
fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// The payload, or the JSON in the body of an HTTP event.
fn command(payload: &Value) -> Value {
    let body = payload["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
    body.unwrap_or_else(|| payload.clone())
}

fn context(event: &LambdaEvent<Value>) -> Value {
    let context = &event.context;
    json!({
        "request_id": context.request_id,
        "deadline": context.deadline,
        "arn": context.invoked_function_arn,
        "trace": context.xray_trace_id,
        "client_context": context.client_context,
        "process": std::process::id(),
    })
}
