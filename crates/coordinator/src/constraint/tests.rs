//! Allowed tokens against what a search of all texts finds, and what grammars of each kind allow.

use super::{
    ConstraintProblem, Grammar,
    compile::GrammarCache,
    mark::Delimiter,
    state::{ConstraintState, NextTokens},
    vocabulary::Vocabulary,
};
use gogrid_model::TokenSet;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// The end-of-sequence token of these vocabularies.
const EOS: u32 = 0;

/// A vocabulary of an end-of-sequence token, every byte that these tests use, and more tokens.
fn vocabulary(more: impl IntoIterator<Item = String>) -> Arc<Vocabulary> {
    let mut pieces = vec![b"\xFF<end>".to_vec(), b"\xFF<tool>".to_vec()];
    pieces.extend((b' '..=b'~').map(|byte| vec![byte]));
    pieces.push(b"\n".to_vec());
    pieces.extend(more.into_iter().map(String::into_bytes));
    Arc::new(Vocabulary::of_pieces(&pieces, vec![EOS]).expect("a vocabulary"))
}

fn try_state(vocabulary: &Arc<Vocabulary>, grammar: &Grammar) -> Result<ConstraintState, ConstraintProblem> {
    let parser = GrammarCache::default().parser(vocabulary, grammar)?;
    Ok(ConstraintState::new(Arc::clone(vocabulary), parser, None, false))
}

fn state(vocabulary: &Arc<Vocabulary>, grammar: &Grammar) -> ConstraintState {
    try_state(vocabulary, grammar).expect("a good grammar")
}

/// The tokens that may come next; the end-of-sequence token alone where the text is complete.
fn allowed(state: &mut ConstraintState, vocabulary: &Vocabulary) -> Arc<TokenSet> {
    match state.next().expect("something may come next") {
        NextTokens::Among(set) => set,
        NextTokens::Complete => Arc::new(TokenSet::new(vocabulary.size, [EOS])),
        NextTokens::Any => Arc::new(TokenSet::new(vocabulary.size, 0..vocabulary.size as u32)),
    }
}

/// A text that a grammar takes, chosen byte by byte; it ends half of the times that it may.
///
/// # Panics
/// The grammar cannot be used, or a text does not end.
pub(crate) fn random_text(grammar: &Grammar, seed: u64) -> String {
    const BYTES: usize = 4000;
    let mut pieces = vec![b"\xFF<end>".to_vec()];
    // Every byte that UTF-8 has.
    pieces.extend((0..=0xF4u8).map(|byte| vec![byte]));
    let vocabulary = Arc::new(Vocabulary::of_pieces(&pieces, vec![EOS]).expect("a vocabulary"));
    let mut state = state(&vocabulary, grammar);
    let (mut dice, mut text) = (StdRng::seed_from_u64(seed), Vec::new());
    while text.len() < BYTES {
        let set = allowed(&mut state, &vocabulary);
        let bytes: Vec<u32> = set.tokens().filter(|&token| token != EOS).collect();
        if bytes.is_empty() || set.contains(EOS) && dice.random() {
            return String::from_utf8(text).expect("UTF-8");
        }
        let token = bytes[dice.random_range(0..bytes.len())];
        text.extend_from_slice(vocabulary.piece(token));
        state.accept(token).expect("allowed");
    }
    panic!("no end: {}", String::from_utf8_lossy(&text));
}

/// Whether a grammar takes a text, character by character, as a whole.
fn takes(grammar: &Grammar, text: &str) -> bool {
    let vocabulary = vocabulary([]);
    let mut state = state(&vocabulary, grammar);
    for byte in text.bytes() {
        let token = (0..vocabulary.size as u32).find(|&token| vocabulary.piece(token) == [byte]).expect("a known byte");
        if !allowed(&mut state, &vocabulary).contains(token) {
            return false;
        }
        state.accept(token).expect("allowed");
    }
    allowed(&mut state, &vocabulary).contains(EOS)
}

fn takes_json(schema: Value, text: &str) -> bool {
    takes(&Grammar::JsonSchema(schema), text)
}

/// Regular expressions over a, b and c with few texts, and all of these.
fn expressions() -> impl Strategy<Value = (String, BTreeSet<String>)> {
    let leaf = "[abc]{1,2}".prop_map(|text| (text.clone(), BTreeSet::from([text])));
    let expression = leaf.prop_recursive(3, 12, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..4);
        let alternatives = several.prop_map(|all| {
            let texts = all.iter().flat_map(|(_, texts)| texts.clone()).collect();
            (format!("({})", all.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("|")), texts)
        });
        let pair = (inner.clone(), inner.clone()).prop_map(|((a, these), (b, those))| {
            let texts = these.iter().flat_map(|x| those.iter().map(move |y| format!("{x}{y}"))).collect();
            (format!("{a}{b}"), texts)
        });
        let optional = inner.prop_map(|(text, mut texts)| {
            texts.insert(String::new());
            (format!("({text})?"), texts)
        });
        prop_oneof![alternatives, pair, optional]
    });
    expression.prop_filter("few texts", |(_, texts)| texts.len() < 200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn allowed_tokens_are_those_with_which_a_text_can_go_on(
        (expression, texts) in expressions(),
        more in prop::collection::btree_set("[abc]{2,4}", 0..40),
        as_choice in any::<bool>(),
        choose in prop::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let vocabulary = vocabulary(more);
        let grammar = match as_choice {
            true => Grammar::Choice(texts.iter().cloned().collect()),
            false => Grammar::Regex(expression),
        };
        let mut state = state(&vocabulary, &grammar);
        let mut text = String::new();
        for index in choose {
            let goes_on = |token: u32| {
                let with = [text.as_bytes(), vocabulary.piece(token)].concat();
                token > 1 && texts.iter().any(|whole| whole.as_bytes().starts_with(&with))
            };
            let mut expected: BTreeSet<u32> = (0..vocabulary.size as u32).filter(|&token| goes_on(token)).collect();
            if texts.contains(&text) {
                expected.insert(EOS);
            }
            let found: BTreeSet<u32> = allowed(&mut state, &vocabulary).tokens().collect();
            prop_assert_eq!(&found, &expected, "{:?} after {:?}", grammar, text);
            let token = *index.get(&found.into_iter().collect::<Vec<_>>());
            if token == EOS {
                break;
            }
            text.push_str(std::str::from_utf8(vocabulary.piece(token)).expect("ASCII"));
            state.accept(token).expect("allowed");
        }
    }
}

#[test]
fn json_schemas_hold() {
    let person = json!({
        "type": "object", "required": ["name"], "additionalProperties": false,
        "properties": {"name": {"type": "string", "maxLength": 3}, "age": {"type": "integer", "minimum": 0}},
    });
    assert!(takes_json(person.clone(), r#"{"name": "Ann", "age": 3}"#));
    assert!(takes_json(person.clone(), "{\n  \"name\":\"\"\n}"));
    for wrong in [r#"{"age": 3}"#, r#"{"name": "Anna"}"#, r#"{"name": "", "age": -1}"#, r#"{"name": "", "x": 1}"#, "[]"]
    {
        assert!(!takes_json(person.clone(), wrong), "{wrong}");
    }
    assert!(!takes_json(person, "{  \"name\":\"\"}"), "white space has a bound");
}

#[test]
fn any_object_is_any_object() {
    assert!(takes(&Grammar::JsonObject, r#"{"a": [1, -2.5e3, true, null, {"b": "\n"}], "c": {}}"#));
    assert!(!takes(&Grammar::JsonObject, "[]") && !takes(&Grammar::JsonObject, "{'a': 1}"));
}

#[test]
fn lark_may_hold_schemas_and_special_tokens() {
    let text = "start: <tool> \"call \" args\nargs: %json {\"type\": \"array\", \"items\": {\"type\": \"boolean\"}}";
    let vocabulary = vocabulary([]);
    let mut state = state(&vocabulary, &Grammar::Lark(text.into()));
    assert_eq!(allowed(&mut state, &vocabulary).tokens().collect::<Vec<_>>(), [1]);
    state.accept(1).expect("allowed");
    assert_eq!(
        allowed(&mut state, &vocabulary).tokens().map(|token| vocabulary.piece(token)).collect::<Vec<_>>(),
        [b"c"]
    );
}

#[test]
fn ordinary_text_is_no_special_token() {
    let vocabulary = vocabulary([]);
    let mut state = state(&vocabulary, &Grammar::Regex("<(tool|end)>.*".into()));
    assert!(!allowed(&mut state, &vocabulary).contains(0) && !allowed(&mut state, &vocabulary).contains(1));
    let mut any = super::tests::state(&vocabulary, &Grammar::Regex("(?s:.*)".into()));
    let set = allowed(&mut any, &vocabulary);
    assert!(set.contains(EOS) && !set.contains(1));
    assert_eq!(set.count(), vocabulary.size - 1);
}

#[test]
fn gbnf_of_other_servers_holds() {
    let json = r##"
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
# Optional space: by convention, applied in this grammar after literal chars when allowed
ws ::= | " " | "\n" [ \t]{0,20}
"##;
    let grammar = Grammar::Gbnf(json.into());
    assert!(takes(&grammar, r#"{"a": [1, "b\n", {"c":null}], "d": -1.5}"#));
    assert!(!takes(&grammar, "[1]") && !takes(&grammar, "{\"a\"  : 1}"));
    let words = Grammar::Gbnf("root ::= (\"a\" | \"ab\") \"bc\" tail?\ntail ::= [x-z]{2}".into());
    for (text, expected) in [("abc", true), ("abbc", true), ("abcxz", true), ("abcx", false), ("bc", false)] {
        assert_eq!(takes(&words, text), expected, "{text}");
    }
}

#[test]
fn a_constraint_may_begin_behind_a_mark() {
    let vocabulary = vocabulary(["k>yes".to_owned(), "think>".to_owned()]);
    let begin = |may_end, ignore_eos| {
        let parser = GrammarCache::default().parser(&vocabulary, &Grammar::Choice(vec!["yes".into()])).expect("good");
        ConstraintState::new(Arc::clone(&vocabulary), parser, Some((Delimiter::new("</think>"), may_end)), ignore_eos)
    };
    let (crossing, whole) = (vocabulary.size as u32 - 2, vocabulary.size as u32 - 1);
    let id = |text: &str| (0..crossing).find(|&token| vocabulary.piece(token) == text.as_bytes()).expect("a token");
    let mut must = begin(false, false);
    for character in ["a", "<", "/"] {
        let set = allowed(&mut must, &vocabulary);
        assert!(!set.contains(EOS) && set.contains(crossing), "it does not end before the mark");
        must.accept(id(character)).expect("allowed");
    }
    for character in ["t", "h", "i", "n"] {
        must.accept(id(character)).expect("allowed");
    }
    assert!(!allowed(&mut must, &vocabulary).contains(crossing), "it reaches past the mark");
    must.accept(id("k")).expect("allowed");
    must.accept(id(">")).expect("allowed");
    assert_eq!(allowed(&mut must, &vocabulary).tokens().collect::<Vec<_>>(), [id("y")]);
    let mut may = begin(true, false);
    assert_eq!(may.next(), Ok(NextTokens::Any));
    for token in [id("<"), id("/"), whole] {
        may.accept(token).expect("allowed");
    }
    assert_eq!(allowed(&mut may, &vocabulary).tokens().collect::<Vec<_>>(), [id("y")]);
    assert_eq!(begin(false, true).next(), Ok(NextTokens::Any), "the end of sequence does not end this answer");
}

#[test]
fn a_text_that_can_only_end_is_complete() {
    let vocabulary = vocabulary([]);
    let mut once = state(&vocabulary, &Grammar::Regex("ab?".into()));
    for (text, complete) in [("a", false), ("b", true)] {
        let token =
            (0..vocabulary.size as u32).find(|&token| vocabulary.piece(token) == text.as_bytes()).expect("known");
        once.accept(token).expect("allowed");
        assert_eq!(once.next() == Ok(NextTokens::Complete), complete);
    }
}

#[test]
fn what_cannot_be_used_is_refused() {
    let vocabulary = vocabulary([]);
    let refused = |grammar: &Grammar| try_state(&vocabulary, grammar).expect_err("refused");
    for grammar in [
        Grammar::Regex("(".into()),
        Grammar::Regex("(?=a)b".into()),
        Grammar::Lark("start: missing".into()),
        Grammar::Lark(String::new()),
        Grammar::Gbnf("no".into()),
        Grammar::Choice(Vec::new()),
        Grammar::JsonSchema(json!({"type": "string", "minLength": 3, "maxLength": 2})),
        Grammar::JsonSchema(json!({"$ref": "#/$defs/missing"})),
        Grammar::JsonSchema(json!({"type": "nothing"})),
    ] {
        assert!(matches!(refused(&grammar), ConstraintProblem::Invalid { .. }), "{grammar:?}");
    }
    let one_of = json!({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]});
    let problem = refused(&Grammar::JsonSchema(one_of));
    assert!(matches!(&problem, ConstraintProblem::Unsupported { keyword, .. } if keyword == "oneOf"), "{problem}");
    let nested = format!("start: {}\"a\"{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(matches!(refused(&Grammar::Lark(nested)), ConstraintProblem::TooLarge { .. }));
    assert!(matches!(refused(&Grammar::Regex("a".repeat(300_000))), ConstraintProblem::TooLarge { .. }));
}
