//! Kid tags: which titles name which tasks.

use domain::kid_tag::KidTag;
use proptest::prelude::*;

fn tags(title: &str) -> Vec<String> {
    KidTag::all_in(title).iter().map(ToString::to_string).collect()
}

#[test]
fn a_tag_is_found_anywhere_in_a_title() {
    for title in
        ["[kid: #4d9d444d]", "Fix login timeout [kid: #4d9d444d]", "[kid: #4d9d444d] Fix", "a [kid: #4d9d444d] b"]
    {
        assert_eq!(tags(title), ["4d9d444d"], "{title}");
    }
}

#[test]
fn case_hyphens_and_white_space_do_not_matter() {
    for title in [
        "[kid: #4D9D444D]",
        "[KID:#4d9d444D]",
        "[ kid : # 4d9d444d ]",
        "[\tkid\u{a0}:\u{3000}#4d9d444d\n]",
        "[[kid: #4d9d444d]]",
        "[x [kid: #4d9d444d]",
        "[kid: #4d9d444d-]",
    ] {
        assert_eq!(tags(title), ["4d9d444d"], "{title:?}");
    }
    assert_eq!(tags("[kid: #4d9d444d-0198-c5c2-7f00-aabbccddeeff]"), ["4d9d444d0198c5c27f00aabbccddeeff"]);
    assert_eq!(tags("[kid: #4d9d444d-01]"), ["4d9d444d01"]);
}

#[test]
fn several_tags_are_all_taken_and_each_only_once() {
    assert_eq!(tags("[kid: #aaaaaaaa] [kid: #bbbbbbbb][kid: #AAAAAAAA]"), ["aaaaaaaa", "bbbbbbbb"]);
}

#[test]
fn what_is_not_quite_a_tag_is_text() {
    for title in [
        "",
        "[kid: #4d9d444]",
        "[kid: #4d9d444d4d9d444d4d9d444d4d9d444d4]",
        "[kid: #4d9d444g]",
        "[kid: 4d9d444d]",
        "[kid #4d9d444d]",
        "kid: #4d9d444d",
        "[kid: #4d9d444d",
        "[kid: #4d9d444d extra]",
        "[kid: #4d9d-444d]",
        "[kid: #4d9d444d--01]",
        "[kids: #4d9d444d]",
        "[kid: #４d9d444d]",
        "(kid: #4d9d444d)",
    ] {
        assert!(tags(title).is_empty(), "{title}");
    }
}

#[test]
fn a_tag_typed_by_hand_is_read_without_its_brackets() {
    for text in ["4d9d444d", "#4d9d444d", " 4D9D444D "] {
        assert_eq!(KidTag::parse(text).map(|tag| tag.to_string()).as_deref(), Some("4d9d444d"), "{text}");
    }
    for text in ["4d9d444", "4d9d444d]", "", "4d9d444d x"] {
        assert_eq!(KidTag::parse(text), None, "{text}");
    }
}

#[test]
fn hostile_titles_are_read_to_the_end() {
    let long = "[kid: #4d9d444d] ".repeat(4000);
    assert_eq!(tags(&long), ["4d9d444d"]);
    for title in ["🦀[kid: #4d9d444d]🦀", "\u{202e}[kid: #4d9d444d]", "\0[kid: #4d9d444d]\0"] {
        assert_eq!(tags(title), ["4d9d444d"], "{title:?}");
    }
    for title in ["[".repeat(65536), format!("[{}", " ".repeat(65536)), format!("[kid: #{}", "a".repeat(65536))] {
        assert!(tags(&title).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_title_makes_it_panic(title in "\\PC{0,80}", pieces in prop::collection::vec("[\\[\\]#: kKiIdD0-9a-f-]{0,12}", 0..12)) {
        KidTag::all_in(&title);
        KidTag::all_in(&pieces.concat());
    }

    #[test]
    fn every_prefix_of_a_uuid_is_a_tag_with_or_without_its_hyphens(id in any::<u128>(), length in 8usize..=32, hyphens: bool, upper: bool) {
        let digits = format!("{id:032x}");
        let mut text = String::new();
        for (index, digit) in digits[..length].chars().enumerate() {
            if hyphens && [8, 12, 16, 20].contains(&index) {
                text.push('-');
            }
            text.push(if upper { digit.to_ascii_uppercase() } else { digit });
        }
        prop_assert_eq!(tags(&format!("x [kid: #{text}]")), vec![digits[..length].to_owned()]);
    }
}
