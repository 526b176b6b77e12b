//! What the two secrets hold, read as people store it and written in one form.
//!
//! Both are JSON objects. What can be meant in one way only is taken: blanks and line breaks around a value, an id in quotes or
//! as a float. Everything else is named by its field. No message repeats anything of a value.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::ids::{AppId, ClientId, InstallationId, Issuer};
use crate::pasted::{is_blank, trimmed};

/// What the webhook secret holds: `{"webhook_secret": "…", "installations"?: [ids]}`.
#[derive(Debug)]
pub struct WebhookSecret {
    /// The secret GitHub signs deliveries with, as it is stored.
    pub webhook_secret: SecretString,
    /// If present, the only installations whose events are taken.
    pub installations: Option<Vec<InstallationId>>,
}

/// What the app secret holds: `{"app_id": …, "client_id"?: …, "installation_id"?: …, "private_key": "PEM"}`.
#[derive(Debug)]
pub struct AppSecret {
    /// The App ID, or a client id where somebody stored that.
    pub app_id: Issuer,
    /// The client id, which GitHub prefers as `iss`.
    pub client_id: Option<ClientId>,
    /// The installation that tokens are minted for unless a request names another.
    pub installation_id: Option<InstallationId>,
    /// The App's private key, PEM.
    pub private_key: SecretString,
}

/// A secret's value, read from what is stored.
pub trait Stored: Sized + Send + Sync + 'static {
    /// Reads it from its fields.
    ///
    /// # Errors
    /// Which field is missing or malformed, in words for the operator and without any of the value.
    fn from_fields(fields: &Map<String, Value>) -> Result<Self, String>;
}

/// The value of a secret.
///
/// # Errors
/// What is wrong with it, in words for the operator and without any of the value.
pub fn parse<T: Stored>(text: &SecretString) -> Result<T, String> {
    T::from_fields(&fields(text)?)
}

/// The fields of a secret, those that we do not know included.
///
/// # Errors
/// As [`parse`].
pub fn fields(text: &SecretString) -> Result<Map<String, Value>, String> {
    let text = trimmed(text.expose_secret());
    if text.is_empty() {
        return Err("it is empty".into());
    }
    // serde_json's own message may quote what it stumbled over, so only the position is passed on.
    let value = serde_json::from_str(text).map_err(|error| {
        format!("it is not the JSON object we write there (line {}, column {})", error.line(), error.column())
    })?;
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(format!("it is {} and not the JSON object we write there", shape(&other))),
    }
}

impl Stored for WebhookSecret {
    fn from_fields(fields: &Map<String, Value>) -> Result<Self, String> {
        let webhook_secret = text(fields, "webhook_secret")?.ok_or("webhook_secret is missing")?;
        if is_placeholder(&webhook_secret) {
            return Err("webhook_secret is empty or a placeholder".into());
        }
        Ok(Self { webhook_secret, installations: installations(fields)? })
    }
}

impl WebhookSecret {
    /// What a delivery may be signed with: the secret as it is stored; without line breaks, which GitHub's form does not take over; and
    /// without all the blanks around it, which nobody sees. Were only the stored text tried, a pasted line break would refuse every
    /// delivery without a word.
    pub fn signing(&self) -> impl Iterator<Item = SecretString> {
        let stored = self.webhook_secret.expose_secret();
        let mut texts = vec![stored, stored.trim_matches(['\r', '\n']), trimmed(stored)];
        texts.dedup();
        texts.into_iter().map(SecretString::from)
    }

    /// The secret without the blanks around it: what GitHub is told.
    pub fn trimmed(&self) -> SecretString {
        trimmed(self.webhook_secret.expose_secret()).into()
    }
}

impl Stored for AppSecret {
    fn from_fields(fields: &Map<String, Value>) -> Result<Self, String> {
        let private_key = key(fields)?.ok_or("private_key is missing")?;
        if is_placeholder(&private_key) {
            return Err("private_key is empty or a placeholder".into());
        }
        let client_id = text(fields, "client_id")?.and_then(|id| id.expose_secret().parse().ok());
        Ok(Self { app_id: app_id(fields)?, client_id, installation_id: installation_id(fields)?, private_key })
    }
}

impl AppSecret {
    /// The value as it is stored.
    pub fn to_json(&self) -> SecretString {
        let app_id = match &self.app_id {
            Issuer::App(id) => json!(id),
            Issuer::Client(id) => json!(id),
        };
        let mut value = json!({"app_id": app_id, "private_key": self.private_key.expose_secret()});
        if let Some(client_id) = &self.client_id {
            value["client_id"] = json!(client_id);
        }
        if let Some(installation_id) = self.installation_id {
            value["installation_id"] = json!(installation_id);
        }
        value.to_string().into()
    }
}

/// What `configure-github-app` of the self-hosted server wrote into `github-app.json`.
#[derive(Debug)]
pub struct SelfHosted {
    /// The App ID, or a client id where somebody stored that.
    pub app_id: Issuer,
    /// The installation, where it was found.
    pub installation_id: Option<InstallationId>,
    /// The secret GitHub signs deliveries with.
    pub webhook_secret: SecretString,
}

impl Stored for SelfHosted {
    fn from_fields(fields: &Map<String, Value>) -> Result<Self, String> {
        let webhook_secret = WebhookSecret::from_fields(fields)?.trimmed();
        Ok(Self { app_id: app_id(fields)?, installation_id: installation_id(fields)?, webhook_secret })
    }
}

fn app_id(fields: &Map<String, Value>) -> Result<Issuer, String> {
    match fields.get("app_id") {
        None | Some(Value::Null) => Err("app_id is missing".into()),
        Some(Value::String(text)) if trimmed(text).is_empty() => Err("app_id is empty".into()),
        Some(value) => {
            let client_id = value.as_str().and_then(|text| text.parse().ok());
            client_id.map_or_else(|| id(value, "app_id").map(|id| Issuer::App(AppId(id))), Ok)
        }
    }
}

fn installation_id(fields: &Map<String, Value>) -> Result<Option<InstallationId>, String> {
    match fields.get("installation_id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if trimmed(text).is_empty() => Ok(None),
        Some(value) => id(value, "installation_id").map(|id| Some(InstallationId(id))),
    }
}

/// The installations that the webhook secret lists, if it lists any.
///
/// # Errors
/// As [`parse`].
pub fn installations(fields: &Map<String, Value>) -> Result<Option<Vec<InstallationId>>, String> {
    let ids = match fields.get("installations") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(values)) => values.iter().enumerate().map(|(at, value)| id_at(value, at)).collect(),
        Some(Value::String(text)) => {
            let words = text.split(|c: char| c == ',' || is_blank(c)).filter(|word| !word.is_empty());
            words.enumerate().map(|(at, word)| id_at(&json!(word), at)).collect()
        }
        Some(value @ Value::Number(_)) => id_at(value, 0).map(|id| vec![id]),
        Some(other) => Err(format!("installations is {} and must be a list of installations' ids", shape(other))),
    };
    ids.map(Some)
}

fn id_at(value: &Value, at: usize) -> Result<InstallationId, String> {
    id(value, &format!("installations[{at}]")).map(InstallationId)
}

/// An id as people write it: with or without quotes, with blanks and line breaks around it, as a float.
fn id(value: &Value, field: &str) -> Result<u64, String> {
    let found = match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        // The blanks that JSON does not know, such as a no-break space, are taken off too.
        Value::String(text) => text.parse::<AppId>().ok().map(|id| id.0).or_else(|| whole(trimmed(text).parse().ok()?)),
        _ => None,
    };
    found.filter(|id| *id > 0).ok_or_else(|| {
        let is = match value {
            Value::String(text) if trimmed(text).is_empty() => "an empty text",
            Value::String(_) => "a text that is no number",
            Value::Number(_) => "no such number",
            other => shape(other),
        };
        format!("{field} is {is} and must be a whole number, such as 12345678")
    })
}

/// A float that is a whole number, exactly.
fn whole(number: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, positive and below 2^53")]
    (number.fract() == 0.0 && (0.0..EXACT).contains(&number)).then_some(number as u64)
}

fn text(fields: &Map<String, Value>, field: &str) -> Result<Option<SecretString>, String> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str().into())),
        Some(other) => Err(format!("{field} is {} and must be a text in quotes", shape(other))),
    }
}

/// A PEM, also as the list of its lines.
fn key(fields: &Map<String, Value>) -> Result<Option<SecretString>, String> {
    if let Some(Value::Array(lines)) = fields.get("private_key")
        && let Some(lines) = lines.iter().map(Value::as_str).collect::<Option<Vec<_>>>()
    {
        return Ok(Some(lines.join("\n").into()));
    }
    text(fields, "private_key")
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What people and templates put where a secret will go. Accepting one would be accepting anybody's signature.
fn is_placeholder(secret: &SecretString) -> bool {
    let text = trimmed(secret.expose_secret());
    text.is_empty()
        || (text.starts_with('<') && text.ends_with('>'))
        || [
            "changeme",
            "change-me",
            "change_me",
            "placeholder",
            "replaceme",
            "replace-me",
            "replace_me",
            "secret",
            "todo",
        ]
        .contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(value: &Value) -> Result<WebhookSecret, String> {
        parse(&value.to_string().into())
    }

    fn app(app_id: &Value, installation_id: &Value) -> Result<AppSecret, String> {
        parse(&json!({"app_id": app_id, "installation_id": installation_id, "private_key": "k3y"}).to_string().into())
    }

    #[test]
    fn an_id_is_taken_in_every_shape_that_can_mean_one_number() {
        for shape in [
            json!(42),
            json!("42"),
            json!(" 42\n"),
            json!("\u{a0}42\r\n"),
            json!("\u{200b}42\u{2060}"),
            json!(42.0),
            json!("42.0\u{ad}"),
        ] {
            let read = app(&shape, &shape).unwrap();
            assert_eq!(
                (read.app_id, read.installation_id),
                (Issuer::App(AppId(42)), Some(InstallationId(42))),
                "{shape}"
            );
            let listed = webhook(&json!({"webhook_secret": "s3cret", "installations": [shape, 7]})).unwrap();
            assert_eq!(listed.installations, Some(vec![InstallationId(42), InstallationId(7)]), "{shape}");
        }
        let text = webhook(&json!({"webhook_secret": "s3cret", "installations": "42, 7\n"})).unwrap();
        assert_eq!(text.installations, Some(vec![InstallationId(42), InstallationId(7)]));
        for none in [json!(null), json!(""), json!(" \n")] {
            assert_eq!(app(&json!(1), &none).unwrap().installation_id, None);
        }
        for client_id in [" Iv23liAbC\n", "\u{feff}Iv23liAbC\u{200b}"] {
            assert_eq!(app(&json!(client_id), &json!(1)).unwrap().app_id.to_string(), "Iv23liAbC");
            assert_eq!(client_id.parse::<ClientId>().unwrap().to_string(), "Iv23liAbC");
        }
        assert!("\u{200b}".parse::<ClientId>().is_err());
    }

    #[test]
    fn what_is_no_id_is_named_by_its_field_and_not_repeated() {
        for shape in [json!("p4ssw0rd"), json!(-1), json!(1.5), json!([1]), json!({"id": 1}), json!(true), json!(0)] {
            let reason = app(&shape, &json!(1)).unwrap_err();
            assert!(reason.starts_with("app_id is ") && !reason.contains("p4ss"), "{shape}: {reason}");
            let reason = app(&json!(1), &shape).unwrap_err();
            assert!(reason.starts_with("installation_id is ") && !reason.contains("p4ss"), "{shape}: {reason}");
            let reason = webhook(&json!({"webhook_secret": "s3cret", "installations": [7, shape]})).unwrap_err();
            assert!(reason.starts_with("installations[1] is ") && !reason.contains("p4ss"), "{shape}: {reason}");
        }
        for (value, named) in [
            (json!({"webhook_secret": 12}), "webhook_secret is a number"),
            (json!({"webhook_secret": ["s3cret"]}), "webhook_secret is a list"),
            (json!({"webhook_secret": "s3cret", "installations": {"id": 1}}), "installations is an object"),
            (json!({"secret": "s3cret"}), "webhook_secret is missing"),
            (json!({"webhook_secret": "<paste>"}), "placeholder"),
            (json!("s3cret"), "it is a text"),
        ] {
            let reason = webhook(&value).unwrap_err();
            assert!(reason.contains(named) && !reason.contains("s3cret"), "{value}: {reason}");
        }
    }

    #[test]
    fn a_delivery_may_be_signed_with_the_secret_as_stored_or_without_its_blanks() {
        let signing = |text: &str| -> Vec<String> {
            let secret = webhook(&json!({"webhook_secret": text})).unwrap();
            secret.signing().map(|secret| secret.expose_secret().to_owned()).collect()
        };
        assert_eq!(signing("s3cret"), ["s3cret"]);
        assert_eq!(signing("s3cret\n"), ["s3cret\n", "s3cret"]);
        assert_eq!(signing(" a b\r\n"), [" a b\r\n", " a b", "a b"]);
        assert_eq!(signing("a b "), ["a b ", "a b"]);
        for mark in ['\u{200b}', '\u{2060}', '\u{feff}', '\u{ad}', '\u{202c}', '\u{a0}'] {
            let stored = format!("{mark}s3cret{mark}");
            assert_eq!(signing(&stored), [stored.as_str(), "s3cret"]);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let written = AppSecret {
            app_id: Issuer::App(AppId(42)),
            client_id: "Iv1.a".parse().ok(),
            installation_id: Some(InstallationId(7)),
            private_key: key.into(),
        };
        let json: Value = serde_json::from_str(written.to_json().expose_secret()).unwrap();
        assert_eq!(json, json!({"app_id": 42, "client_id": "Iv1.a", "installation_id": 7, "private_key": key}));
        let read: AppSecret = parse(&written.to_json()).unwrap();
        assert_eq!(read.private_key.expose_secret(), key);
        assert_eq!(
            (read.app_id, read.client_id, read.installation_id),
            (Issuer::App(AppId(42)), "Iv1.a".parse().ok(), Some(InstallationId(7)))
        );
        let lines = json!({"app_id": 42, "private_key": key.lines().collect::<Vec<_>>()});
        let read: AppSecret = parse(&format!("\u{feff}{lines}\n").into()).unwrap();
        assert_eq!(read.private_key.expose_secret(), key.trim_end());
    }

    #[test]
    fn a_hostile_secret_is_read_or_refused_without_a_word_of_it() {
        let secrets = [
            r#"{"webhook_secret":"c4nary","installations":[7,"8"],"app_id":" 42","installation_id":7.0}"#,
            r#"{"app_id":"Iv1.a","client_id":"Iv1.a","installation_id":"7","private_key":["c4nary","c4nary"]}"#,
        ];
        hostile::attack(&secrets, |input| {
            let text = SecretString::from(String::from_utf8_lossy(input).into_owned());
            let refused = [
                parse::<WebhookSecret>(&text).err(),
                parse::<AppSecret>(&text).err(),
                parse::<SelfHosted>(&text).err(),
            ];
            for reason in refused.into_iter().flatten() {
                assert!(reason.len() < 200 && !reason.contains("c4nary"), "{reason}");
            }
        });
    }
}
