//! Hostile input to the functions: what comes in at the front door, and what reconcile is invoked with.

use domain::contract::reconcile::Event;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use serde_json::json;
use webhook::signature::Signature;
use webhook::{event, gateway};

use crate::harness::payload::{merged, opened};

const DIGITS: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

#[test]
fn a_hostile_signature_is_none_unless_it_has_the_documented_form() {
    let is_lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    hostile::attack(&[format!("sha256={DIGITS}"), format!("sha256={DIGITS}, sha256={DIGITS}")], |input| {
        let documented =
            input.strip_prefix(b"sha256=").is_some_and(|digits| digits.len() == 64 && digits.iter().all(is_lower_hex));
        assert_eq!(Signature::parse(input).is_some(), documented);
    });
}

#[test]
fn a_hostile_delivery_is_understood_or_refused_without_a_word_of_it() {
    let mut edited = opened("Fix c4nary [kid: #4d9d444d]", 1);
    edited.0["action"] = json!("edited");
    edited.0["changes"] = json!({"title": {"from": "Fix c4nary"}});
    let bodies = [
        merged("Revert \"c4nary\" [kid: #4d9d444d]", 2).0.to_string(),
        edited.0.to_string(),
        json!({"zen": "c4nary", "hook_id": 1, "hook": {"type": "App"}}).to_string(),
    ];
    hostile::attack(&bodies, |input| {
        for name in ["pull_request", "ping", "push"] {
            if let Err(reason) =
                event::read(input, Some(name), Some("application/json"), &domain::served::Served::default())
            {
                assert!(reason.len() < 200 && !reason.contains("c4nary"), "{reason}");
            }
        }
    });
}

#[test]
fn a_hostile_event_of_the_gateway_is_a_delivery_or_none() {
    let event = |body: &str, is_base64: bool| {
        json!({
            "version": "2.0", "routeKey": "POST /api/webhooks/github", "rawPath": "/api/webhooks/github", "rawQueryString": "",
            "headers": {"x-hub-signature-256": format!("sha256={DIGITS}"), "x-github-event": "ping", "content-type": "application/json"},
            "requestContext": {"accountId": "123456789012", "apiId": "a", "domainName": "d", "domainPrefix": "d", "requestId": "r",
                "http": {"method": "POST", "path": "/api/webhooks/github", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "x"},
                "routeKey": "POST /api/webhooks/github", "stage": "$default", "time": "24/Nov/2026:00:00:00 +0000", "timeEpoch": 1_795_500_000_000_u64},
            "body": body, "isBase64Encoded": is_base64})
    };
    let events = [event("{\"zen\":\"a\"}", false).to_string(), event("eyJ6ZW4iOiJhIn0=", true).to_string()];
    hostile::attack(&events, |input| {
        if let Ok(request) = serde_json::from_slice::<ApiGatewayV2httpRequest>(input) {
            gateway::delivery(request);
        }
    });
}

#[test]
fn a_hostile_invocation_of_reconcile_is_understood_or_refused_without_a_word_of_it() {
    let record = json!({"eventID": "1", "dynamodb": {"Keys": {"repository_id": {"S": "7"}, "item": {"S": "pr#1"}}}});
    let events = [
        json!({"Records": [record, record]}),
        json!({"schedule": "due", "shard": 2}),
        json!({"repository": "acme/c4nary", "number": 42, "installation_id": 7}),
        json!({"resync": "acme/c4nary"}),
    ];
    hostile::attack(&events.map(|event| event.to_string()), |input| {
        let Ok(event) = serde_json::from_slice(input) else { return };
        if let Err(error) = Event::read(event) {
            let said = error.to_string();
            assert!(said.len() < 400 && !said.contains("c4nary"), "{said}");
        }
    });
}
