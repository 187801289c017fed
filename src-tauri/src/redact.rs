//! Removes from a text what must not leave this computer: keys, join codes, and the names of its owner.

/// The start of a join code.
const CODE: &str = "gogrid1";
/// The fewest hexadecimal digits that may be a key: half of the shortest key.
const HEX: usize = 32;
/// The fewest other letters and digits that may be a key, 30 bytes in base 64. No word is that long with that many
/// digits.
const RUN: usize = 40;
const DIGITS: usize = 4;
/// Shorter names are part of many words.
const SHORTEST_NAME: usize = 3;

/// Redacts keys and codes, and the names that are private on this computer, each with its placeholder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor(Vec<(String, &'static str)>);

impl Redactor {
    /// For the owner's home folder and name, and the machine's names.
    pub(crate) fn of_this_computer(home: Option<String>, machine_names: impl IntoIterator<Item = String>) -> Self {
        let user = home.as_deref().and_then(|home| home.rsplit(['/', '\\']).next()).map(str::to_owned);
        let machines = machine_names.into_iter().map(|name| (name, "[machine]"));
        let names = machines.chain(user.map(|user| (user, "[user]")));
        let mut words: Vec<_> = home.map(|home| (home, "~")).into_iter().chain(names).collect();
        // `root` is nobody's name, and part of many words.
        words.retain(|(word, placeholder)| {
            word.chars().count() >= SHORTEST_NAME && (*placeholder == "~" || word != "root")
        });
        Self(words)
    }

    /// The text with placeholders in place of what is private.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text =
            self.0.iter().fold(text.to_owned(), |text, (word, placeholder)| text.replace(word.as_str(), placeholder));
        redact_secrets(&text)
    }
}

/// Replaces the runs of letters and digits that may be secrets.
fn redact_secrets(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.find(|character: char| !in_run(character)).unwrap_or(rest.len());
        if run == 0 {
            let between = rest.find(in_run).unwrap_or(rest.len());
            redacted.push_str(&rest[..between]);
            rest = &rest[between..];
            continue;
        }
        let word = &rest[..run];
        redacted.push_str(placeholder(word, &redacted).unwrap_or(word));
        rest = &rest[run..];
    }
    redacted
}

const fn in_run(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '+' | '_')
}

/// The placeholder of a run that may be a secret, given the text before it.
fn placeholder(run: &str, before: &str) -> Option<&'static str> {
    let is_code = before.strip_suffix('-').is_some_and(ends_with_code)
        || before.ends_with("gogrid://join/") && !run.eq_ignore_ascii_case(CODE);
    if is_code {
        return Some("[code]");
    }
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let hex = run.len() >= HEX && run.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hex || run.len() >= RUN && digits >= DIGITS).then_some("[key]")
}

fn ends_with_code(before: &str) -> bool {
    before
        .len()
        .checked_sub(CODE.len())
        .and_then(|start| before.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(CODE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const HEX_KEY: &str = "3f2a91c0de3f2a91c0de3f2a91c0de3f2a91c0de3f2a91c0de3f2a91c0de3f2a";
    const BASE64_KEY: &str = "RWRtaW5pc2lnbiBwdWJsaWMga2V5OiA3NjM0NTY3ODkwMTIzNDU2Nzg5MA";

    fn redactor() -> Redactor {
        Redactor::of_this_computer(Some("/home/anna".into()), ["annas-laptop".to_owned(), String::new()])
    }

    #[rstest]
    #[case::nothing("connected to 192.0.2.1:7450", "connected to 192.0.2.1:7450")]
    #[case::key(&format!("key={HEX_KEY}."), "key=[key].")]
    #[case::quoted(&format!("{{\"key\":\"{HEX_KEY}\"}}"), "{\"key\":\"[key]\"}")]
    #[case::half_a_key(&HEX_KEY[..32], "[key]")]
    #[case::base64(BASE64_KEY, "[key]")]
    #[case::short(&HEX_KEY[..16], &HEX_KEY[..16])]
    #[case::code("join gogrid1-abcdefgh234567 now", "join gogrid1-[code] now")]
    #[case::code_in_capitals("GOGRID1-ABCD", "GOGRID1-[code]")]
    #[case::short_code("gogrid1-a", "gogrid1-[code]")]
    #[case::link("gogrid://join/gogrid1-abcd", "gogrid://join/gogrid1-[code]")]
    #[case::other_link("gogrid://join/abcd", "gogrid://join/[code]")]
    #[case::symbol(
        "gogrid_engine::executor::a_function_with_a_long_name_indeed_yes",
        "gogrid_engine::executor::a_function_with_a_long_name_indeed_yes"
    )]
    #[case::folder("/home/anna/.local/share/x", "~/.local/share/x")]
    #[case::machine("machine annas-laptop joined", "machine [machine] joined")]
    #[case::user("user anna", "user [user]")]
    #[case::not_ascii("wäre 60 °C …", "wäre 60 °C …")]
    fn what_is_private_is_redacted(#[case] text: &str, #[case] redacted: &str) {
        assert_eq!(redactor().redact(text), redacted);
    }

    #[test]
    fn root_is_nobodys_name() {
        let redactor = Redactor::of_this_computer(Some("/root".into()), []);
        assert_eq!(redactor.redact("/root/x of the root stage"), "~/x of the root stage");
    }

    proptest! {
        #[test]
        fn no_key_stays_whatever_stands_around_it(before in "\\PC{0,20}", after in "\\PC{0,20}") {
            let text = format!("{before} {HEX_KEY} {after}");
            prop_assert!(!redactor().redact(&text).contains(&HEX_KEY[..32]));
        }

        #[test]
        fn text_without_secrets_stays(text in "[a-z ]{0,60}") {
            prop_assert_eq!(Redactor::default().redact(&text), text);
        }
    }
}
