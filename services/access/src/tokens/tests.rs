//! Tests of the tokens file as text.

use proptest::prelude::*;

use super::*;
use crate::Token;

fn grant(name: &str, role: Role) -> (Token, Grant) {
    let token = Token::generate();
    let grant = Grant {
        name: name.to_owned(),
        role,
        scope: Scope::default(),
        replicas: Vec::new(),
        replaces: None,
        expires: None,
        hash: token.hash(),
    };
    (token, grant)
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

#[test]
fn an_added_token_is_found_with_all_that_it_allows() {
    let (reader, mut read) = grant("grafana", Role::Read);
    read.scope = Scope::parse(["tag:team=search", "model:a"]).unwrap();
    read.expires = Some(at(2_000_000_000));
    let (proxy, mut ingest) = grant("proxy", Role::Ingest);
    ingest.replicas = vec!["proxy-1".to_owned()];
    let text = Tokens::with("", &read).and_then(|text| Tokens::with(&text, &ingest)).unwrap();
    let tokens = Tokens::parse(&text).unwrap();

    let found = tokens.valid(&reader.hash(), at(1_999_999_999)).unwrap();
    assert_eq!(
        (found.name.as_str(), found.role, &found.scope),
        ("grafana", Role::Read, &read.scope)
    );
    let expired = Refusal::Expired { name: "grafana".into(), at: at(2_000_000_000) };
    assert_eq!(tokens.valid(&reader.hash(), at(2_000_000_000)).unwrap_err(), expired);
    let found = tokens.valid(&proxy.hash(), at(0)).unwrap();
    assert!(found.may_send_for("proxy-1") && !found.may_send_for("proxy-2"));
    assert_eq!(tokens.valid(&Token::generate().hash(), at(0)).unwrap_err(), Refusal::Unknown);
    assert!(!text.contains(reader.expose()) && !text.contains(proxy.expose()), "{text}");
}

#[test]
fn a_revoked_token_is_gone_and_comments_of_others_stay() {
    let (gone, one) = grant("one", Role::Read);
    let (stays, two) = grant("two", Role::Admin);
    let text = Tokens::with("# mine\n", &one).unwrap();
    let text = Tokens::with(&format!("{text}\n# of the second\n"), &two).unwrap();
    let text = Tokens::without(&text, "one").unwrap().unwrap();
    let tokens = Tokens::parse(&text).unwrap();
    assert_eq!(tokens.valid(&gone.hash(), at(0)).unwrap_err(), Refusal::Unknown);
    assert_eq!(tokens.valid(&stays.hash(), at(0)).unwrap().name, "two");
    assert!(text.contains("# of the second"), "{text}");
    assert_eq!(Tokens::without(&text, "one"), Ok(None));
}

#[test]
fn a_wrong_file_is_refused_with_the_place_and_without_what_it_holds() {
    let secret = Token::generate();
    let hash = secret.hash();
    let good = format!("[[token]]\nname = \"a\"\nrole = \"read\"\nhash = \"{hash}\"\n");
    let cases = [
        (format!("{good}only = [\"team\"]\n"), "only"),
        (format!("{good}{good}"), "taken"),
        (format!("{good}expiry = 2030-01-01\n"), "line 5: unknown field `expiry`"),
        (format!("{good}expires = 07:30:00\n"), "expires"),
        (format!("{good}replicas = [\"x\"]\n"), "ingest"),
        (good.replace("read", "reader"), "role"),
        (good.replace(&hash.to_string(), secret.expose()), "never the token itself"),
        (good.replace("\"a\"", "\"\""), "name"),
        (format!("{good}\nname = {}\n", secret.expose()), "line"),
    ];
    for (text, expected) in cases {
        let error = Tokens::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} for {text}");
        assert!(!error.contains(&secret.expose()[7..]), "{error}");
    }
}

#[test]
fn a_day_is_an_expiry_too() {
    let (token, grant) = grant("a", Role::Read);
    let text = Tokens::with("", &grant).unwrap() + "expires = 2001-09-09\n";
    let tokens = Tokens::parse(&text).unwrap();
    assert!(tokens.valid(&token.hash(), at(999_993_599)).is_ok());
    assert!(tokens.valid(&token.hash(), at(999_993_600)).is_err());
}

proptest! {
    #[test]
    fn whatever_names_and_scopes_hold_an_entry_is_read_back(
        name in "[^\\p{Cc}]{1,20}",
        model in "[^\\p{Cc}]{1,20}",
        replica in "[^\\p{Cc}]{0,20}",
    ) {
        prop_assume!(!model.is_empty());
        let (token, mut entry) = grant(&name, Role::Read);
        entry.scope = Scope { models: vec![model], ..Scope::default() };
        let (_, mut other) = grant(&format!("{name}2"), Role::Ingest);
        other.replicas = vec![replica];
        let text = Tokens::with("", &entry).and_then(|text| Tokens::with(&text, &other)).unwrap();
        let tokens = Tokens::parse(&text).unwrap();
        prop_assert_eq!(&tokens.valid(&token.hash(), at(0)).unwrap().scope, &entry.scope);
        prop_assert_eq!(&tokens.grants()[1].replicas, &other.replicas);
        let text = Tokens::without(&text, &name).unwrap().unwrap();
        prop_assert_eq!(Tokens::parse(&text).unwrap().grants().len(), 1);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,300}") {
        let _ = Tokens::parse(&text);
        let _ = Tokens::without(&text, "a");
    }
}
