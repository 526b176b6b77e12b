//! Signatures: the published vectors, and the forms that are not signatures.

use webhook::signature::Signature;

fn verifies(secret: &str, body: &str, header: &str) -> bool {
    Signature::parse(header.as_bytes()).is_some_and(|signature| signature.verifies(&secret.into(), body.as_bytes()))
}

#[test]
fn the_vector_of_githubs_documentation_verifies() {
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    let header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert!(verifies("It's a Secret to Everybody", "Hello, World!", header));
    assert!(!verifies("It's a Secret to Everybody", "Hello, World?", header));
}

#[test]
fn the_vectors_of_octokits_own_tests_verify() {
    // github.com/octokit/webhooks-methods.js, test/sign.test.ts and test/verify.test.ts
    for (secret, body, header) in [
        ("mysecret", r#"{"foo":"bar"}"#, "sha256=4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3"),
        (
            "mysecret",
            "{\n  \"foo\": \"bar\"\n}\n",
            "sha256=e3eccac34c43c7dc1cbb905488b1b81347fcc700a7b025697a9d07862256023f",
        ),
        (
            "development",
            "{\n  \"foo\": \"Foo\\n\\u001B[34mbar: ♥♥♥♥♥♥♥♥\\nthis-is-lost\\u001B[0m\\u001B[2K\"\n}\n",
            "sha256=9dacf9003316b09be07df56d86a2d0d6872e42a1e6c72c3bad9ff915a7c5603e",
        ),
        (
            "development",
            "{\n  \"foo\": \"\\\\u001b\"\n}\n",
            "sha256=87316067e2011fae39998b18c46a14d83b3e7c3ffdd88fb2ee5afb7d11288e60",
        ),
    ] {
        assert!(verifies(secret, body, header), "{body}");
        assert!(!verifies("another", body, header), "{body}");
    }
}

#[test]
fn only_the_documented_form_is_a_signature() {
    let digits = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    for header in [
        String::new(),
        digits.to_owned(),
        format!("sha1={digits}"),
        format!("SHA256={digits}"),
        format!("sha256={}", digits.to_uppercase()),
        format!("sha256={}", &digits[1..]),
        format!("sha256={digits}0"),
        format!("sha256= {digits}"),
        format!("sha256={digits}, sha256={digits}"),
        format!("sha256={}", "g".repeat(64)),
    ] {
        assert!(Signature::parse(header.as_bytes()).is_none(), "{header}");
    }
}
