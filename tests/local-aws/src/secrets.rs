//! Secrets Manager, by winterbaume, with the rules of AWS that it leaves out.
//!
//! Added here: exactly one version is AWSPREVIOUS after any number of rotations; a repeated request token writes once; the first
//! version of a secret is AWSCURRENT whatever its labels; a label moves only from the version that holds it; values are limited
//! to 65,536 bytes; values of bytes; a version that lost its last label is still there.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::HeaderMap,
    response::Response,
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use winterbaume_core::{MockRequest, MockService};
use winterbaume_secretsmanager::SecretsManagerService;

use super::wire::{Call, Dialect, Wire, json_error};
use crate::loopback::{Cut, Server};

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// Stands before bytes in base64 where winterbaume, which knows texts alone, keeps them.
const BYTES: &str = "\0bytes:";

/// On every version, and shown to nobody: winterbaume forgets a version with its last label, and AWS keeps it, to be read and labelled by its
/// id, for a day at least (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html>).
const KEPT: &str = "\0kept:";

/// The largest value a secret may hold, in bytes
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>).
const LARGEST_VALUE: usize = 65_536;

/// Secrets Manager; calls and faults are asked of its [`Wire`], to which it dereferences.
pub struct SecretsManager {
    service: Arc<Service>,
    server: Server,
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The version's id.
    pub id: String,
    /// Its staging labels, sorted.
    pub stages: Vec<String>,
    /// Its value.
    pub value: String,
}

impl Deref for SecretsManager {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.service.wire
    }
}

impl SecretsManager {
    /// Starts it without secrets.
    pub async fn start() -> Self {
        let service = Arc::new(Service {
            wire: Wire::new(DIALECT),
            inner: SecretsManagerService::new(),
            one_at_a_time: Mutex::new(()),
        });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&service));
        Self { service, server: Server::start(router).await }
    }

    /// Closes every connection, as a server does with those that idle.
    pub fn hang_up(&self) {
        self.server.hang_up();
    }

    /// The endpoint for `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// An SDK client that calls through the wire as this access key.
    pub fn sdk(&self, access_key_id: &str) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&super::sdk_config(&self.url(), access_key_id))
    }

    /// Creates a secret, with or without a first value.
    pub async fn create(&self, name: &str, value: Option<&Value>) {
        let mut request = json!({"Name": name});
        if let Some(value) = value {
            request["SecretString"] = json!(text(value));
        }
        self.must("CreateSecret", request).await;
    }

    /// Writes a new current value; the last one becomes AWSPREVIOUS.
    pub async fn put(&self, name: &str, value: &Value) {
        self.must("PutSecretValue", json!({"SecretId": name, "SecretString": text(value)})).await;
    }

    /// As [`Self::put`], of bytes, as the AWS CLI does with `--secret-binary`.
    pub async fn put_bytes(&self, name: &str, value: &[u8]) {
        self.must("PutSecretValue", json!({"SecretId": name, "SecretBinary": STANDARD.encode(value)})).await;
    }

    /// The secret's labelled versions, by id.
    pub async fn versions(&self, name: &str) -> Vec<Version> {
        let mut versions = Vec::new();
        for (id, mut stages) in self.service.stages(name).await.expect("the secret exists") {
            stages.sort_unstable();
            let found = self.must("GetSecretValue", json!({"SecretId": name, "VersionId": id})).await;
            let value = found["SecretString"].as_str().unwrap_or_default().to_owned();
            versions.push(Version { id, stages, value });
        }
        versions
    }

    async fn must(&self, operation: &str, request: Value) -> Value {
        match self.service.carry_out(operation, request).await {
            Ok(answer) => answer,
            Err(refusal) => panic!("{operation}: {}: {}", refusal.kind, refusal.message),
        }
    }
}

/// Strings are stored as they are, everything else as its JSON text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const DIALECT: Dialect = Dialect {
    service: "secretsmanager",
    content_type: "application/x-amz-json-1.1",
    server_error: "InternalServiceError",
    throttled: (400, "ThrottlingException"),
    access_denied: "AccessDeniedException",
    error: json_error,
};

async fn answer(
    State(service): State<Arc<Service>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Call::read(&headers, &body);
    let (operation, request) = (call.operation.clone(), call.body.clone());
    service.wire.answer(call, cut, service.serve(&operation, request)).await
}

#[derive(Debug)]
struct ServiceError {
    status: u16,
    kind: String,
    message: String,
}

impl ServiceError {
    fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { status: 400, kind: kind.to_owned(), message: message.into() }
    }
}

struct Service {
    wire: Wire,
    inner: SecretsManagerService,
    /// A write here is several calls of the inner service; two at once would mix their labels.
    one_at_a_time: Mutex<()>,
}

impl Service {
    async fn serve(&self, operation: &str, request: Value) -> Response {
        match self.carry_out(operation, request).await {
            Ok(answer) => self.wire.json(200, answer.to_string().into()),
            Err(refusal) => self.wire.error(refusal.status, &refusal.kind, &refusal.message),
        }
    }

    async fn carry_out(&self, operation: &str, mut request: Value) -> Result<Value, ServiceError> {
        let _turn = self.one_at_a_time.lock().await;
        refuse_large(&request)?;
        if let Some(Value::String(bytes)) = request.as_object_mut().and_then(|fields| fields.remove("SecretBinary")) {
            request["SecretString"] = json!(format!("{BYTES}{bytes}"));
        }
        let mut answer = match operation {
            "PutSecretValue" => self.put_value(request).await,
            "UpdateSecretVersionStage" => self.move_stage(request).await,
            _ => self.forward(operation, request).await,
        }?;
        if matches!(operation, "CreateSecret" | "PutSecretValue")
            && let Some(version) = answer["VersionId"].as_str()
        {
            let label = format!("{KEPT}{version}");
            let keep = json!({"SecretId": answer["ARN"], "VersionStage": label, "MoveToVersionId": version});
            self.forward("UpdateSecretVersionStage", keep).await?;
        }
        if let Some(bytes) = answer["SecretString"].as_str().and_then(|text| text.strip_prefix(BYTES)) {
            answer["SecretBinary"] = json!(bytes);
            answer["SecretString"].take();
        }
        Ok(answer)
    }

    async fn put_value(&self, mut request: Value) -> Result<Value, ServiceError> {
        if let Some(answer) = self.already_written(&request).await? {
            return Ok(answer);
        }
        let secret = request["SecretId"].clone();
        let before = self.stages(&string(&secret)).await?;
        // A secret's first version is AWSCURRENT whatever labels were asked for
        // (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>).
        if before.is_empty()
            && let Some(stages) = request["VersionStages"].as_array_mut()
            && !stages.contains(&json!(CURRENT))
        {
            stages.push(json!(CURRENT));
        }
        let answer = self.forward("PutSecretValue", request).await?;
        let replaced = holder(&before, CURRENT);
        let outdated = holder(&before, PREVIOUS).filter(|old| Some(old) != replaced.as_ref());
        if took_current(&answer)
            && replaced.is_some()
            && let Some(outdated) = outdated
        {
            let request = json!({"SecretId": secret, "VersionStage": PREVIOUS, "RemoveFromVersionId": outdated});
            self.forward("UpdateSecretVersionStage", request).await?;
        }
        Ok(answer)
    }

    /// The answer to a request whose token has a version already: the SDK repeats a write whose answer it lost.
    async fn already_written(&self, request: &Value) -> Result<Option<Value>, ServiceError> {
        let Some(token) = request["ClientRequestToken"].as_str() else {
            return Ok(None);
        };
        let lookup = json!({"SecretId": request["SecretId"], "VersionId": token});
        let Ok(found) = self.forward("GetSecretValue", lookup).await else {
            return Ok(None);
        };
        if found["SecretString"] != request["SecretString"] {
            let message = format!("A version with the token {token} exists and has another value.");
            return Err(ServiceError::new("ResourceExistsException", message));
        }
        Ok(Some(json!({
            "ARN": found["ARN"],
            "Name": found["Name"],
            "VersionId": token,
            "VersionStages": found["VersionStages"],
        })))
    }

    async fn move_stage(&self, request: Value) -> Result<Value, ServiceError> {
        let label = string(&request["VersionStage"]);
        let stages = self.stages(&string(&request["SecretId"])).await?;
        if let Some(holder) = holder(&stages, &label)
            && request["MoveToVersionId"] != json!(holder)
            && request["RemoveFromVersionId"] != json!(holder)
        {
            let message = format!(
                "The parameter RemoveFromVersionId can't be empty or another version. Staging label {label} is currently \
                 attached to version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
            );
            return Err(ServiceError::new("InvalidParameterException", message));
        }
        self.forward("UpdateSecretVersionStage", request).await
    }

    async fn stages(&self, secret: &str) -> Result<BTreeMap<String, Vec<String>>, ServiceError> {
        let described = self.forward("DescribeSecret", json!({"SecretId": secret})).await?;
        let stages = described["VersionIdsToStages"].clone();
        if stages.is_null() {
            return Ok(BTreeMap::new());
        }
        Ok(serde_json::from_value(stages).expect("labels are lists of strings"))
    }

    async fn forward(&self, operation: &str, request: Value) -> Result<Value, ServiceError> {
        let target = format!("secretsmanager.{operation}").parse().expect("operations are ASCII");
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-target", target);
        let request = MockRequest {
            method: "POST".to_owned(),
            uri: format!("https://secretsmanager.{}.amazonaws.com/", super::REGION),
            headers,
            body: request.to_string().into(),
        };
        let answer = self.inner.handle(request).await;
        let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 {
            shown(&mut body["VersionStages"]);
            if let Some(versions) = body["VersionIdsToStages"].as_object_mut() {
                versions.retain(|_, labels| shown(labels) > 0);
            }
            return Ok(body);
        }
        Err(ServiceError { status: answer.status, kind: string(&body["__type"]), message: string(&body["message"]) })
    }
}

/// Leaves the labels that AWS would show, and says how many.
fn shown(labels: &mut Value) -> usize {
    let Some(labels) = labels.as_array_mut() else { return 0 };
    labels.retain(|label| !label.as_str().is_some_and(|label| label.starts_with(KEPT)));
    labels.len()
}

fn refuse_large(request: &Value) -> Result<(), ServiceError> {
    if request["SecretString"].as_str().is_some_and(|value| value.len() > LARGEST_VALUE) {
        let message = "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have \
                       length less than or equal to 65536";
        return Err(ServiceError::new("ValidationException", message));
    }
    Ok(())
}

fn holder(stages: &BTreeMap<String, Vec<String>>, label: &str) -> Option<String> {
    let holds = |labels: &Vec<String>| labels.iter().any(|held| held == label);
    stages.iter().find(|(_, labels)| holds(labels)).map(|(id, _)| id.clone())
}

fn took_current(answer: &Value) -> bool {
    answer["VersionStages"].as_array().is_some_and(|stages| stages.contains(&json!(CURRENT)))
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
