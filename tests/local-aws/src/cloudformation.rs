//! CloudFormation, as far as a deployed stack is asked about: `DescribeStacks`.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::HeaderMap,
    response::Response,
    routing::post,
};
use serde_json::json;

use super::wire::{Call, Dialect, Wire};
use super::{ACCOUNT, REGION};
use crate::loopback::{Cut, Server};

/// CloudFormation; calls and faults are asked of its [`Wire`], to which it dereferences.
pub struct CloudFormation {
    service: Arc<Service>,
    server: Server,
}

/// What `DescribeStacks` says of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackDescription {
    /// Such as `CREATE_COMPLETE`.
    pub status: String,
    /// Parameter to value.
    pub parameters: BTreeMap<String, String>,
    /// Output to value; none while a stack is being created.
    pub outputs: BTreeMap<String, String>,
}

struct Service {
    wire: Wire,
    stacks: Mutex<BTreeMap<String, StackDescription>>,
}

impl Deref for CloudFormation {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.service.wire
    }
}

impl CloudFormation {
    /// Starts it without stacks.
    pub async fn start() -> Self {
        let service = Arc::new(Service { wire: Wire::new(DIALECT), stacks: Mutex::default() });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&service));
        Self { service, server: Server::start(router).await }
    }

    /// The endpoint for `AWS_ENDPOINT_URL_CLOUDFORMATION`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Deploys a stack, or changes what is said of it.
    ///
    /// # Panics
    /// If another thread panicked while it held the stacks.
    pub fn put(&self, name: &str, stack: StackDescription) {
        self.service.stacks.lock().expect("nothing panics here").insert(name.to_owned(), stack);
    }

    /// What is said of a stack.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, name: &str) -> StackDescription {
        self.service.stacks.lock().expect("nothing panics here").get(name).expect("the stack is there").clone()
    }
}

const DIALECT: Dialect = Dialect {
    service: "cloudformation",
    content_type: "text/xml",
    server_error: "InternalFailure",
    throttled: (400, "Throttling"),
    access_denied: "AccessDenied",
    error: |kind, message| {
        format!(
            "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
             <Code>{kind}</Code><Message>{}</Message></Error><RequestId>r</RequestId></ErrorResponse>",
            escaped(message)
        )
    },
};

async fn answer(
    State(service): State<Arc<Service>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = format!("http://form/?{}", String::from_utf8_lossy(&body));
    let fields: BTreeMap<String, String> =
        reqwest::Url::parse(&form).expect("a form is a query").query_pairs().into_owned().collect();
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let name = field("StackName");
    let call = Call {
        operation: field("Action"),
        resources: vec![name.clone()],
        access_key_id: Call::caller(&headers),
        body: json!(fields),
        status: None,
        fault: None,
    };
    let operation = call.operation.clone();
    let served = async {
        assert_eq!(operation, "DescribeStacks", "this CloudFormation only describes");
        let found = service.stacks.lock().expect("nothing panics here").get(&name).cloned();
        match found {
            Some(stack) => described(&name, &stack),
            None => service.wire.error(400, "ValidationError", &format!("Stack with id {name} does not exist")),
        }
    };
    service.wire.answer(call, cut, served).await
}

fn described(name: &str, stack: &StackDescription) -> Response {
    let members = |pairs: &BTreeMap<String, String>, kind: &str| -> String {
        let member = |(key, value): (&String, &String)| {
            format!("<member><{kind}Key>{key}</{kind}Key><{kind}Value>{}</{kind}Value></member>", escaped(value))
        };
        pairs.iter().map(member).collect()
    };
    let (outputs, parameters) = (members(&stack.outputs, "Output"), members(&stack.parameters, "Parameter"));
    let body = format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
         <Stacks><member><StackName>{name}</StackName><StackStatus>{}</StackStatus>\
         <StackId>arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/1</StackId>\
         <CreationTime>2026-11-23T09:00:00Z</CreationTime><Outputs>{outputs}</Outputs>\
         <Parameters>{parameters}</Parameters></member></Stacks></DescribeStacksResult>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DescribeStacksResponse>",
        stack.status
    );
    let response = Response::builder().status(200).header("content-type", "text/xml");
    response.body(Body::from(body)).expect("a status and one header make a response")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
