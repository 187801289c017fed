//! Cuts out of a text what must not leave this computer: keys, join codes, and what names its owner.

/// The start of a join code.
const CODE: &str = "gogrid1";
/// Hexadecimal digits that may be a key: half of the shortest one.
const HEX: usize = 32;
/// Other letters and digits that may be a key: 30 bytes in base 64. No word is so long and has so many digits.
const RUN: usize = 40;
const DIGITS: usize = 4;
/// A shorter name is a part of many words.
const SHORTEST_NAME: usize = 3;

/// What is private here beside keys and codes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor(Vec<(String, &'static str)>);

impl Redactor {
    /// The owner's folder and name, and the machine's names.
    pub(crate) fn of_this_computer(home: Option<String>, machine_names: impl IntoIterator<Item = String>) -> Self {
        let user = home.as_deref().and_then(|home| home.rsplit(['/', '\\']).next()).map(str::to_owned);
        let machines = machine_names.into_iter().map(|name| (name, "[machine]"));
        let names = machines.chain(user.map(|user| (user, "[user]")));
        let mut words: Vec<_> = home.map(|home| (home, "~")).into_iter().chain(names).collect();
        // `root` and the like are no names, and parts of many words.
        words.retain(|(word, placeholder)| {
            word.chars().count() >= SHORTEST_NAME && (*placeholder == "~" || word != "root")
        });
        Self(words)
    }

    /// The text without it.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text =
            self.0.iter().fold(text.to_owned(), |text, (word, placeholder)| text.replace(word.as_str(), placeholder));
        redact_secrets(&text)
    }
}

/// Goes through the runs of letters and digits.
fn redact_secrets(text: &str) -> String {
    let mut cut = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.find(|character: char| !in_run(character)).unwrap_or(rest.len());
        if run == 0 {
            let between = rest.find(in_run).unwrap_or(rest.len());
            cut.push_str(&rest[..between]);
            rest = &rest[between..];
            continue;
        }
        let word = &rest[..run];
        cut.push_str(placeholder(word, &cut).unwrap_or(word));
        rest = &rest[run..];
    }
    cut
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
    fn what_is_private_is_cut_out(#[case] text: &str, #[case] cut: &str) {
        assert_eq!(redactor().redact(text), cut);
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
