//! What stands between a function and a service: the record of calls, and the faults.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::record::record;
use crate::loopback::Cut;

/// One HTTP call as it arrived; a retry of the SDK is a call of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The operation, such as `UpdateItem`.
    pub operation: String,
    /// The tables, or the secret, that the call names.
    pub resources: Vec<String>,
    /// The access key of the signature: which role called.
    pub access_key_id: String,
    /// The request's JSON.
    pub body: Value,
    /// The status answered; `None` while the call runs or if its connection was dropped.
    pub status: Option<u16>,
    /// What befell it, if something did.
    pub fault: Option<Fault>,
}

impl Call {
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let target = text(headers, "x-amz-target");
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        Self {
            operation: target.rsplit('.').next().unwrap_or_default().to_owned(),
            resources: resources(&body),
            access_key_id: access_key_id(headers),
            body,
            status: None,
            fault: None,
        }
    }

    /// The access key that a request is signed with.
    pub fn caller(headers: &HeaderMap) -> String {
        access_key_id(headers)
    }

    /// Whether the call names this table or secret.
    pub fn on(&self, resource: &str) -> bool {
        self.resources.iter().any(|named| named == resource)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Reads the access key out of a Signature Version 4 header: `… Credential=<key>/<date>/<region>/<service>/…`.
fn access_key_id(headers: &HeaderMap) -> String {
    text(headers, header::AUTHORIZATION.as_str())
        .split_once("Credential=")
        .and_then(|(_, credential)| credential.split('/').next())
        .unwrap_or_default()
        .to_owned()
}

fn resources(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["TableName", "SecretId", "Name"] {
        note(&mut found, body[key].as_str());
    }
    for item in body["TransactItems"].as_array().into_iter().flatten() {
        for action in item.as_object().into_iter().flatten() {
            note(&mut found, action.1["TableName"].as_str());
        }
    }
    for table in body["RequestItems"].as_object().into_iter().flatten() {
        note(&mut found, Some(table.0));
    }
    found
}

fn note(found: &mut Vec<String>, name: Option<&str>) {
    if let Some(name) = name
        && !found.iter().any(|known| known == name)
    {
        found.push(name.to_owned());
    }
}

async fn take(permits: &Semaphore) {
    permits.acquire().await.expect("it is never closed").forget();
}

/// The first half of an answer, and then the end of the connection.
async fn cut_short(answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    let whole = to_bytes(body, usize::MAX).await.expect("an answer of this process ends");
    let half = whole.slice(..whole.len() / 2);
    let end = async {
        // hyper sends what it has when it has to wait, and nothing of a body that fails at once.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("the answer is cut"))
    };
    let body = Body::from_stream(stream::iter([Ok(half)]).chain(stream::once(end)));
    let mut response = Response::from_parts(parts, body);
    response.headers_mut().insert(header::CONTENT_LENGTH, whole.len().into());
    response
}

/// What happens to a call instead of an answer, or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with a 500 before anything was done; the SDK retries.
    ServerError,
    /// Refused by the service's own limit; the SDK retries.
    Throttled,
    /// Refused by the role's policy; the SDK does not retry.
    AccessDenied,
    /// Refused because another transaction holds the item; the SDK does not retry.
    TransactionConflict,
    /// The connection closes before anything was done.
    Unreachable,
    /// The call is carried out, and the connection closes instead of the answer.
    AnswerLost,
    /// The call is carried out, and a 500 comes instead of the answer.
    AnswerReplaced,
    /// The call is carried out, and the connection closes in the middle of the answer.
    CutShort,
    /// The call is carried out, and this comes instead of the answer's body.
    Garbage(&'static str),
    /// The call is carried out after this long.
    Delay(Duration),
    /// The call is carried out once it is let go: [`Wire::held`], [`Wire::release`]. Nothing is done if the caller is gone by then.
    Hold,
    /// The call is carried out, and answered once it is let go.
    HoldAnswer,
}

/// Which calls a fault befalls.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    operation: Option<String>,
    resource: Option<String>,
    access_key_id: Option<String>,
    spared: usize,
    times: usize,
}

impl Rule {
    /// Befalls every call until the faults are cleared.
    pub fn new(fault: Fault) -> Self {
        Self { fault, operation: None, resource: None, access_key_id: None, spared: 0, times: usize::MAX }
    }

    /// Only this operation.
    pub fn operation(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    /// Only calls that name this table or secret.
    pub fn on(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Only calls signed with this access key.
    pub fn from(mut self, access_key_id: &str) -> Self {
        self.access_key_id = Some(access_key_id.to_owned());
        self
    }

    /// The first `calls` that match still succeed.
    pub fn after(mut self, calls: usize) -> Self {
        self.spared = calls;
        self
    }

    /// Only so many calls, retries counted.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    fn matches(&self, call: &Call) -> bool {
        self.operation.as_ref().is_none_or(|operation| *operation == call.operation)
            && self.resource.as_ref().is_none_or(|resource| call.on(resource))
            && self.access_key_id.as_ref().is_none_or(|key| *key == call.access_key_id)
    }

    /// Counts a matching call; `Some` if the fault befalls it.
    fn strike(&mut self, call: &Call) -> Option<Fault> {
        if self.times == 0 || !self.matches(call) {
            return None;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return None;
        }
        // usize::MAX is "always": it never runs out in a test's life.
        self.times -= 1;
        Some(self.fault)
    }
}

/// How a service spells the faults.
pub(super) struct Dialect {
    pub(super) service: &'static str,
    pub(super) content_type: &'static str,
    pub(super) server_error: &'static str,
    pub(super) throttled: (u16, &'static str),
    pub(super) access_denied: &'static str,
    /// An error's body, from its kind and message.
    pub(super) error: fn(&str, &str) -> String,
}

/// The body of an error in the services that speak JSON.
pub(super) fn json_error(kind: &str, message: &str) -> String {
    json!({"__type": kind, "message": message, "Message": message}).to_string()
}

/// The calls a service got, and the faults it was told to show.
pub struct Wire {
    dialect: Dialect,
    state: Mutex<WireState>,
    /// One permit for each call that came to be held and was not waited for.
    held: Semaphore,
    /// One permit for each call that may go on.
    released: Semaphore,
}

#[derive(Default)]
struct WireState {
    calls: Vec<Call>,
    rules: Vec<Rule>,
    unreachable: bool,
    /// Raised by `clear_calls`, so that a call still running does not write its status into a later call's record.
    era: usize,
}

impl Wire {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, state: Mutex::default(), held: Semaphore::new(0), released: Semaphore::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, WireState> {
        self.state.lock().expect("no call panics while it holds the record")
    }

    /// Every call so far, in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.era += 1;
    }

    /// Adds a fault; of several that match a call, the first added befalls it.
    pub fn fail(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Makes the next `times` calls of an operation on a resource fail; `None` matches any.
    pub fn fail_next<'a>(
        &self,
        operation: impl Into<Option<&'a str>>,
        resource: impl Into<Option<&'a str>>,
        times: usize,
        fault: Fault,
    ) {
        let mut rule = Rule::new(fault).times(times);
        rule.operation = operation.into().map(str::to_owned);
        rule.resource = resource.into().map(str::to_owned);
        self.fail(rule);
    }

    /// Refuses every call of this access key on this resource, as a missing policy does.
    pub fn deny(&self, access_key_id: &str, resource: &str) {
        self.fail(Rule::new(Fault::AccessDenied).from(access_key_id).on(resource));
    }

    /// Cuts an access key off at its `n`th call from now (1 is the next): to the service its owner died before it.
    pub fn crash_at(&self, access_key_id: &str, n: usize) {
        let spared = n.checked_sub(1).expect("calls count from 1");
        self.fail(Rule::new(Fault::Unreachable).from(access_key_id).after(spared));
    }

    /// Forgets every fault, and is reachable again.
    pub fn clear_faults(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.unreachable = false;
        // Whoever gave up on a held call left its permits behind, and the next one would not be held.
        self.held.forget_permits(usize::MAX);
        self.released.forget_permits(usize::MAX);
    }

    /// Waits until a call is held that was not waited for before.
    pub async fn held(&self) {
        take(&self.held).await;
    }

    /// Lets a held call go on.
    pub fn release(&self) {
        self.released.add_permits(1);
    }

    /// Closes every connection unanswered from now on, or no longer.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.state().unreachable = unreachable;
    }

    /// Records the call, and answers it with `served` or as its fault says.
    pub(super) async fn answer(&self, call: Call, cut: Cut, served: impl Future<Output = Response>) -> Response {
        let (era, index, fault) = self.arrived(call.clone());
        let answer = match fault {
            None => Some(served.await),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                Some(served.await)
            }
            Some(Fault::Hold) => {
                self.held.add_permits(1);
                take(&self.released).await;
                Some(served.await)
            }
            Some(Fault::HoldAnswer) => {
                let answer = served.await;
                self.held.add_permits(1);
                take(&self.released).await;
                Some(answer)
            }
            Some(Fault::CutShort) => Some(cut_short(served.await).await),
            Some(Fault::Garbage(body)) => Some(self.json(served.await.status().as_u16(), body.into())),
            Some(Fault::AnswerLost) => {
                served.await;
                None
            }
            Some(Fault::AnswerReplaced) => {
                served.await;
                Some(self.server_error())
            }
            Some(Fault::Unreachable) => None,
            Some(Fault::ServerError) => Some(self.server_error()),
            Some(Fault::Throttled) => Some(self.throttled()),
            Some(Fault::AccessDenied) => Some(self.denied(&call)),
            Some(Fault::TransactionConflict) => Some(self.conflict(&call)),
        };
        let Some(answer) = answer else {
            cut.now();
            return Response::new(Body::empty());
        };
        self.answered(era, index, answer.status());
        answer
    }

    fn arrived(&self, mut call: Call) -> (usize, usize, Option<Fault>) {
        for (action, resource) in call.needs() {
            record(&call.access_key_id, &format!("{}:{action}", self.dialect.service), &resource);
        }
        let mut state = self.state();
        let fault = if state.unreachable {
            Some(Fault::Unreachable)
        } else {
            state.rules.iter_mut().find_map(|rule| rule.strike(&call))
        };
        call.fault = fault;
        state.calls.push(call);
        (state.era, state.calls.len() - 1, fault)
    }

    fn answered(&self, era: usize, index: usize, status: StatusCode) {
        let mut state = self.state();
        if state.era == era {
            state.calls[index].status = Some(status.as_u16());
        }
    }

    fn server_error(&self) -> Response {
        self.error(500, self.dialect.server_error, "Internal server error")
    }

    fn throttled(&self) -> Response {
        let (status, kind) = self.dialect.throttled;
        self.error(status, kind, "Rate exceeded")
    }

    fn denied(&self, call: &Call) -> Response {
        let (service, operation) = (self.dialect.service, &call.operation);
        let message = format!(
            "User: {} is not authorized to perform: {service}:{operation} on resource: {} because no identity-based policy \
             allows the {service}:{operation} action",
            call.access_key_id,
            call.resources.join(", "),
        );
        self.error(400, self.dialect.access_denied, &message)
    }

    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling>
    fn conflict(&self, call: &Call) -> Response {
        if call.operation != "TransactWriteItems" {
            return self.error(400, "TransactionConflictException", "Transaction is ongoing for the item");
        }
        let actions = call.body["TransactItems"].as_array().map_or(0, Vec::len);
        let mut reasons = vec![json!({"Code": "None"}); actions];
        reasons[actions - 1] = json!({"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"});
        let message = "Transaction cancelled, please refer cancellation reasons for specific reasons";
        let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
        let body = json!({"__type": kind, "Message": message, "CancellationReasons": reasons});
        self.json(400, body.to_string().into())
    }

    pub(super) fn error(&self, status: u16, kind: &str, message: &str) -> Response {
        self.json(status, (self.dialect.error)(kind, message).into())
    }

    pub(super) fn json(&self, status: u16, body: Bytes) -> Response {
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, self.dialect.content_type)
            .body(Body::from(body))
            .expect("a status and one header make a response")
    }
}
