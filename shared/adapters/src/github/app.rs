//! The App's private key and the JSON Web Tokens it signs.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>
//!
//! PEM is read here and not by a crate: people store the key escaped in JSON, in base64 once more or without its first line, and crates for
//! PEM and PKCS take the exact form alone.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use domain::ids::Issuer;
use domain::pasted::is_blank;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Serialize;

use super::{Bearer, Error};

/// GitHub advises to date a token back by a minute, against clocks that differ.
const ISSUED_BEFORE: SignedDuration = SignedDuration::from_secs(60);

/// GitHub refuses a token that expires more than 10 minutes ahead by its own clock; a minute is left for that clock.
const EXPIRES_AFTER: SignedDuration = SignedDuration::from_secs(540);

/// Why a text is not an App's private key, in words for whoever pasted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM in it, plain or base64.
    #[error("private_key is not a PEM: paste the whole .pem file that GitHub let you download")]
    NotPem,
    /// A public key.
    #[error("private_key is a public key: the .pem file that GitHub let you download holds the private one")]
    PublicKey,
    /// A certificate.
    #[error("private_key is a certificate: a GitHub App has none; use the .pem file from the App's settings")]
    Certificate,
    /// A key for SSH.
    #[error("private_key is an SSH key: use the .pem file from the App's settings")]
    Ssh,
    /// A PEM behind a passphrase.
    #[error("private_key is encrypted: remove the passphrase with `openssl rsa -in key.pem -out plain.pem`")]
    Encrypted,
    /// The end is missing.
    #[error("private_key is truncated: its -----END line is missing")]
    Truncated,
    /// The envelope is right, the content is not an RSA key.
    #[error("private_key is damaged or not an RSA key of 2048 bits or more: copy the .pem file again")]
    Malformed,
}

/// An App's RSA private key.
pub struct AppKey {
    signing: EncodingKey,
    pkcs8: SecretSlice<u8>,
    fingerprint: String,
}

impl fmt::Debug for AppKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AppKey").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl AppKey {
    /// Takes a PEM as people store it: PKCS#1 (what GitHub hands out) or PKCS#8, under either's label; LF, CRLF or a literal `\n`
    /// between lines, escaped once or more; in quotes; base64 as a whole, once or more; or its body alone.
    ///
    /// # Errors
    /// [`KeyError`], which tells what it is instead.
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let der = unwrap(pem.expose_secret())?;
        Self::new(&key_pair(&der).ok_or(KeyError::Malformed)?)
    }

    fn new(pair: &KeyPair) -> Result<Self, KeyError> {
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Malformed)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Malformed)?;
        Ok(Self {
            signing: EncodingKey::from_rsa_der(pkcs1_of(pkcs8.as_ref()).ok_or(KeyError::Malformed)?),
            pkcs8: pkcs8.as_ref().to_vec().into(),
            fingerprint: BASE64_STANDARD.encode(digest(&SHA256, public.as_ref())),
        })
    }

    /// base64 of SHA-256 over the public key's DER, as the App's settings page shows it.
    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/managing-private-keys-for-github-apps#verifying-private-keys>
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The key as a PKCS#8 PEM: the same text whatever shape it was given in, so that two can be compared.
    pub fn to_pem(&self) -> SecretString {
        let body = Zeroizing::new(BASE64_STANDARD.encode(self.pkcs8.expose_secret()));
        // Room for all of it: a text that grows leaves copies of the key behind.
        let mut pem = String::with_capacity(body.len() + body.len() / 64 + 64);
        pem.push_str("-----BEGIN PRIVATE KEY-----");
        for (at, character) in body.chars().enumerate() {
            if at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        pem.into()
    }

    /// The key as PKCS#8 DER: the same bytes whatever shape the PEM had.
    pub fn pkcs8_der(&self) -> &[u8] {
        self.pkcs8.expose_secret()
    }

    /// Authenticates requests as the App, each with a JSON Web Token of its own. Arguments as for [`Self::jwt`].
    pub fn bearer<'a>(&'a self, issuer: &'a Issuer, now: Timestamp, offset: SignedDuration) -> AppBearer<'a> {
        AppBearer { key: self, issuer, now, offset }
    }

    /// Signs a JSON Web Token with which the App itself authenticates for nine minutes.
    ///
    /// `issuer` is the client id, or the App ID; `offset` is GitHub's clock minus ours.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when the key cannot sign.
    pub fn jwt(&self, issuer: &Issuer, now: Timestamp, offset: SignedDuration) -> Result<SecretString, KeyError> {
        // In seconds, which do not overflow: GitHub's clock, or a proxy's, may say any time that there is.
        let now = now.as_second().saturating_add(offset.as_secs());
        let claims = Claims {
            iss: issuer,
            iat: now.saturating_sub(ISSUED_BEFORE.as_secs()),
            exp: now.saturating_add(EXPIRES_AFTER.as_secs()),
            jti: uuid::Uuid::new_v4().to_string(),
        };
        let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.signing);
        jwt.map(SecretString::from).map_err(|_| KeyError::Malformed)
    }
}

/// The App itself, as of one moment.
#[derive(Debug)]
pub struct AppBearer<'a> {
    key: &'a AppKey,
    issuer: &'a Issuer,
    now: Timestamp,
    offset: SignedDuration,
}

impl Bearer for AppBearer<'_> {
    fn token(&self) -> Result<SecretString, Error> {
        self.key.jwt(self.issuer, self.now, self.offset).map_err(|error| Error::Unexpected(Box::new(error)))
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a Issuer,
    iat: i64,
    exp: i64,
    /// Without it two environments that sign in the same second send the same token, which was reported to fail.
    jti: String,
}

/// How deep a key may be wrapped in base64: whole files are, and so is the value of a Kubernetes secret that holds one.
const MOST_WRAPPINGS: usize = 4;

/// The key's DER, out of what people wrap it in.
fn unwrap(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut text = Zeroizing::new(text.to_owned());
    for _ in 0..MOST_WRAPPINGS {
        text = unescape(&text);
        let bare = text.trim_matches(|c: char| is_blank(c) || matches!(c, '"' | '\''));
        if bare.contains("-----") {
            return decode(bare);
        }
        if bare.starts_with("ssh-") {
            return Err(KeyError::Ssh);
        }
        let decoded = decode_base64(bare).ok_or(KeyError::NotPem)?;
        // A PEM's body alone: a SEQUENCE longer than 127 bytes.
        if decoded.starts_with(&[0x30, 0x82]) {
            return Ok(decoded);
        }
        text = Zeroizing::new(std::str::from_utf8(&decoded).map_err(|_| KeyError::NotPem)?.to_owned());
    }
    Err(KeyError::NotPem)
}

/// Takes escapes off, however often they were escaped themselves: no PEM has a backslash of its own.
fn unescape(text: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '\\' => {
                escaped = true;
                continue;
            }
            'n' if escaped => plain.push('\n'),
            'r' | 't' if escaped => plain.push(' '),
            c => plain.push(c),
        }
        escaped = false;
    }
    plain
}

/// The content of the first PEM block that holds a private key. A `BEGIN` or `END` that was not copied is not missed if the
/// content is whole. <https://www.rfc-editor.org/rfc/rfc7468>
fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let blocks = text.split("-----BEGIN ").skip(1);
    let mut first = None;
    for block in blocks {
        match private(block) {
            Ok(der) => return Ok(der),
            Err(error) => first = first.or(Some(error)),
        }
    }
    let without_begin = || text.split_once("-----END ").and_then(|(body, _)| decode_base64(body));
    first.map_or_else(|| without_begin().ok_or(KeyError::NotPem), Err)
}

/// What follows a `BEGIN`. Its label only says what it is if it is no RSA key.
fn private(block: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (label, rest) = block.split_once("-----").ok_or(KeyError::Truncated)?;
    let (body, is_whole) = rest.split_once("-----END").map_or((rest, false), |(body, _)| (body, true));
    let der = decode_base64(body).filter(|der| key_pair(der).is_some());
    der.ok_or(match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => KeyError::PublicKey,
        "CERTIFICATE" => KeyError::Certificate,
        "OPENSSH PRIVATE KEY" | "SSH2 PUBLIC KEY" => KeyError::Ssh,
        "ENCRYPTED PRIVATE KEY" => KeyError::Encrypted,
        _ if rest.contains("Proc-Type: 4,ENCRYPTED") => KeyError::Encrypted,
        _ if !is_whole => KeyError::Truncated,
        _ => KeyError::Malformed,
    })
}

/// PKCS#1 or PKCS#8, whatever the label said.
fn key_pair(der: &[u8]) -> Option<KeyPair> {
    KeyPair::from_der(der).or_else(|_| KeyPair::from_pkcs8(der)).ok()
}

/// base64 of either alphabet, with its padding or without.
fn decode_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
    let alphabet = |c| match c {
        '-' => '+',
        '_' => '/',
        c => c,
    };
    // Chats and web pages put marks of no width into long lines.
    let compact: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| !is_blank(*c)).map(alphabet).collect());
    ENGINE.decode(compact.as_bytes()).ok().map(Zeroizing::new)
}

/// The RSAPrivateKey inside a PKCS#8 PrivateKeyInfo: jsonwebtoken signs with that alone. Every length is of the
/// two-byte form, because no key under 2048 bits gets here. <https://www.rfc-editor.org/rfc/rfc5208#section-5>
fn pkcs1_of(pkcs8: &[u8]) -> Option<&[u8]> {
    const RSA_ENCRYPTION: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let rest = match pkcs8 {
        [0x30, 0x82, _, _, 2, 1, 0, rest @ ..] => rest.strip_prefix(&RSA_ENCRYPTION)?,
        _ => return None,
    };
    match rest {
        [4, 0x82, _, _, pkcs1 @ ..] => Some(pkcs1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let body = BASE64_STANDARD.encode(der);
        let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    fn parse(text: &str) -> Result<AppKey, KeyError> {
        AppKey::from_pem(&SecretString::from(text))
    }

    #[test]
    fn every_shape_of_one_key_gives_the_same_key() {
        let pair = KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pkcs1 = pem("RSA PRIVATE KEY", pkcs1_of(pkcs8.as_ref()).unwrap());
        let shapes = [
            pkcs1.clone(),
            pem("PRIVATE KEY", pkcs8.as_ref()),
            pkcs1.replace('\n', "\r\n"),
            pkcs1.replace('\n', "\\n"),
            pkcs1.replace('\n', "\\r\\n"),
            pkcs1.replace('\n', " "),
            format!("\"{pkcs1}\""),
            format!("'{}'\n", pkcs1.replace('\n', "\\n")),
            BASE64_STANDARD.encode(&pkcs1),
            format!("\u{feff}  \n{pkcs1}"),
            pkcs1.replace('\n', "\\\\n"),
            pkcs1.replace('\n', "\\\\\\r\\\\\\n"),
            format!("\\\"{}\\\"", pkcs1.replace('\n', "\\n").replace('/', "\\/")),
            pkcs1.lines().filter(|line| !line.contains("-----")).collect::<Vec<_>>().join("\n"),
            pem("", pkcs8.as_ref()).lines().filter(|line| !line.contains("-----")).collect(),
            pkcs1.replace("-----END RSA PRIVATE KEY-----\n", ""),
            pkcs1.replace("-----BEGIN RSA PRIVATE KEY-----\n", ""),
            pkcs1.replace('=', ""),
            BASE64_STANDARD.encode(&pkcs1).replace('=', ""),
            BASE64_STANDARD.encode(format!("{pkcs1}\n")).trim_end_matches('=').replace('+', "-").replace('/', "_"),
            BASE64_STANDARD.encode(BASE64_STANDARD.encode(&pkcs1)),
            pem("PRIVATE KEY", pkcs1_of(pkcs8.as_ref()).unwrap()),
            pem("RSA PRIVATE KEY", pkcs8.as_ref()),
            format!("{}{pkcs1}", pem("CERTIFICATE", &[0; 300])),
            pem("CERTIFICATE", pkcs8.as_ref()),
            pem(" RSA PRIVATE  KEY ", pkcs8.as_ref()),
            pkcs1.lines().map(|line| format!("    {line}\n")).collect(),
            pkcs1.replace('\n', "\r"),
            pkcs1.replace('\n', ""),
            pkcs1.replace('\n', "\u{200b}\u{2028}"),
            format!("Bag Attributes\n    friendlyName: app\n{pkcs1}"),
            json!({"private_key": pkcs1}).to_string(),
        ];
        for shape in &shapes {
            let key = parse(shape).unwrap();
            assert_eq!(key.pkcs8_der(), pkcs8.as_ref());
            assert_eq!(format!("{key:?}"), format!("AppKey {{ fingerprint: {:?}, .. }}", key.fingerprint()));
            assert!(key.jwt(&"Iv1.abc".parse().unwrap(), Timestamp::UNIX_EPOCH, SignedDuration::ZERO).is_ok());
            assert_eq!(key.to_pem().expose_secret(), pem("PRIVATE KEY", pkcs8.as_ref()));
        }
    }

    #[test]
    fn what_is_not_a_private_key_is_named() {
        let body = "AAAA".repeat(300);
        let block = |label| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----");
        let cases = [
            (block("PUBLIC KEY"), KeyError::PublicKey),
            (block("CERTIFICATE"), KeyError::Certificate),
            (block("OPENSSH PRIVATE KEY"), KeyError::Ssh),
            ("ssh-rsa AAAAB3Nza me@host".into(), KeyError::Ssh),
            (block("ENCRYPTED PRIVATE KEY"), KeyError::Encrypted),
            (block("RSA PRIVATE KEY").replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1), KeyError::Encrypted),
            (format!("-----BEGIN RSA PRIVATE KEY-----\n{body}"), KeyError::Truncated),
            (block("RSA PRIVATE KEY"), KeyError::Malformed),
            (block("EC PRIVATE KEY"), KeyError::Malformed),
            (block("RSA PRIVATE KEY").replace('\n', "\n> "), KeyError::Malformed),
            (block("RSA PRIVATE KEY").replace("-----", "\u{2014}"), KeyError::NotPem),
            (format!("data:application/x-pem-file;base64,{body}"), KeyError::NotPem),
            ("/home/me/app.pem".into(), KeyError::NotPem),
            (BASE64_STANDARD.encode(block("PUBLIC KEY")), KeyError::PublicKey),
            (BASE64_STANDARD.encode([&[0x30, 0x82][..], &[7; 300]].concat()), KeyError::Malformed),
            ((0..6).fold("hunter2".to_owned(), |text, _| BASE64_STANDARD.encode(text)), KeyError::NotPem),
            (String::new(), KeyError::NotPem),
            ("hunter2".into(), KeyError::NotPem),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(&text).unwrap_err(), expected, "{text:.60}");
        }
    }

    #[test]
    fn a_hostile_key_is_read_or_named_and_never_shown() {
        let pair = KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pkcs1 = pem("RSA PRIVATE KEY", pkcs1_of(pkcs8.as_ref()).unwrap());
        let keys = [
            pem("PRIVATE KEY", pkcs8.as_ref()).replace('\n', "\\\\n"),
            BASE64_STANDARD.encode(&pkcs1),
            json!({"private_key": pkcs1}).to_string(),
            pkcs1,
        ];
        hostile::attack(&keys, |input| match parse(&String::from_utf8_lossy(input)) {
            Ok(key) => assert!(!format!("{key:?}").contains("MII")),
            Err(error) => assert!(!error.to_string().contains("MII")),
        });
    }

    #[test]
    fn a_clock_at_the_end_of_time_signs_as_any_other() {
        let key = AppKey::new(&KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap()).unwrap();
        for (now, offset) in [(Timestamp::UNIX_EPOCH, SignedDuration::MAX), (Timestamp::MAX, SignedDuration::ZERO)] {
            assert!(key.jwt(&"Iv1.abc".parse().unwrap(), now, offset).is_ok());
            assert!(key.jwt(&"Iv1.abc".parse().unwrap(), now, SignedDuration::ZERO - offset).is_ok());
        }
        assert!(key.jwt(&"Iv1.abc".parse().unwrap(), Timestamp::MIN, SignedDuration::ZERO).is_ok());
    }
}
