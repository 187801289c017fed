//! A model's text side: tokenizer, chat template, end-of-sequence tokens and default sampling, out of a Hugging Face
//! folder or out of GGUF metadata.

mod chat;
mod folder;
mod gguf;
mod growth;
mod length;

use crate::detokenize::Pieces;
use crate::jinja::Rendered;
use crate::template::ChatTemplate;
use crate::{Chat, ChatEnd, ChatMessage, Detokenizer, SamplingError, SamplingParams, TemplateError};
pub use chat::ChatPrompt;
use chat::Literal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokenizers::Tokenizer;

/// What a model does with text.
#[derive(Debug)]
pub struct TextModel {
    pieces: Arc<Pieces>,
    template: Option<ChatTemplate>,
    eos: Vec<u32>,
    sampling: SamplingParams,
    literal: Literal,
    /// Bytes of the vocabulary's longest token.
    longest: usize,
    notes: Vec<String>,
}

/// A tokenizer or template that cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not JSON.
    #[error("{} is not valid JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A field of a file or of GGUF metadata is missing or of another kind.
    #[error("{field} must be {expected}")]
    Field {
        /// File and field, or metadata key.
        field: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A field has a value that this program does not know.
    #[error("{field} is \"{value}\", but only these are known: {known}")]
    Unknown {
        /// File and field, or metadata key.
        field: &'static str,
        /// The value.
        value: String,
        /// Known values.
        known: &'static str,
    },
    /// The tokenizers library refuses the tokenizer.
    #[error("the tokenizer cannot be loaded")]
    Tokenizer(#[source] tokenizers::Error),
    /// The tokenizer's normalizers could make a text far longer than it is.
    #[error(
        "the tokenizer's {steps} normalizers could make a text {growth:.0} times as long; at most 32 and 256 times are accepted"
    )]
    Growing {
        /// How many times as long.
        growth: f64,
        /// How many they are.
        steps: usize,
    },
    /// The tokenizer turns tokens into text in a way that cannot be streamed.
    #[error(
        "the tokenizer's decoder {decoder} is not supported: ByteLevel, ByteFallback, Fuse, Replace (of a string), \
         Strip (at the start), Metaspace and sequences of them are"
    )]
    UnsupportedDecoder {
        /// The decoder, as in tokenizer.json.
        decoder: String,
    },
    /// Default sampling parameters of the model are outside their range.
    #[error("the model's default sampling parameters cannot be used")]
    Sampling(#[from] SamplingError),
    /// Text cannot be encoded.
    #[error("the text cannot be encoded")]
    Encode(#[source] tokenizers::Error),
    /// Text has more tokens than may be.
    #[error("the text has {bytes} bytes, which are at least {least} tokens, but at most {most} fit")]
    TooLong {
        /// Bytes of the text.
        bytes: usize,
        /// Tokens that it has at least.
        least: usize,
        /// Tokens that may be.
        most: usize,
    },
    /// The model has no chat template: it completes text, but does not chat.
    #[error("the model has no chat template")]
    NoTemplate,
    /// The chat template does not parse, fails, or refuses the messages.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl TextError {
    fn field(field: impl Into<String>, expected: &'static str) -> Self {
        TextError::Field { field: field.into(), expected }
    }

    fn unknown(field: &'static str, value: &str, known: &'static str) -> Self {
        TextError::Unknown { field, value: value.to_owned(), known }
    }
}

impl TextModel {
    fn new(
        tokenizer: Tokenizer,
        template: Option<ChatTemplate>,
        eos: Vec<u32>,
        sampling: SamplingParams,
    ) -> Result<Self, TextError> {
        growth::check_growth(&tokenizer)?;
        let pieces = Pieces::new(tokenizer)?;
        let (literal, longest) = (Literal::new(&pieces), pieces.longest());
        Ok(Self { pieces: Arc::new(pieces), template, eos, sampling, literal, longest, notes: Vec::new() })
    }

    /// Reads tokenizer.json and, where they are, tokenizer_config.json, chat_template.jinja, generation_config.json and
    /// config.json of a Hugging Face folder.
    ///
    /// # Errors
    /// A file that is missing or does not say what it should.
    pub fn from_hf_folder(path: &Path) -> Result<Self, TextError> {
        folder::read(path)
    }

    /// Builds tokenizer and template from GGUF metadata.
    ///
    /// # Errors
    /// A metadata key that is missing, of another kind, or has a value that is not known.
    pub fn from_gguf(content: &crate::gguf::Content) -> Result<Self, TextError> {
        gguf::read(content)
    }

    /// The tokens of a text. `add_special` adds what the tokenizer puts around a text (often a token for its start):
    /// for plain completions; a chat template writes those itself.
    ///
    /// # Errors
    /// The tokenizer cannot express the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TextError> {
        let encoding = self.pieces.tokenizer.encode_fast(text, add_special).map_err(TextError::Encode)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The same for a text that is to fit a context of this many tokens. One that is far longer is refused before it
    /// takes much memory; whether the others fit is for the caller to see.
    ///
    /// # Errors
    /// The tokenizer cannot express the text, or it is [`TooLong`](TextError::TooLong).
    pub fn encode_for(&self, context: usize, text: &str, add_special: bool) -> Result<Vec<u32>, TextError> {
        self.check_length(text, context)?;
        self.encode(text, add_special)
    }

    /// The text of a whole answer, without special tokens.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut detokenizer = self.detokenizer(false);
        let mut text: String = tokens.iter().map(|&token| detokenizer.push(token)).collect();
        text.push_str(&detokenizer.finish());
        text
    }

    /// A detokenizer for one answer. `continues`: the answer goes on from the middle of a text (a completion), so that
    /// a leading space is part of it.
    pub fn detokenizer(&self, continues: bool) -> Detokenizer {
        Detokenizer::new(Arc::clone(&self.pieces), continues)
    }

    /// The prompt for a chat as text; `add_generation_prompt` lets it end where the assistant's answer begins. To be
    /// answered, a chat is encoded by [`chat_tokens`](Self::chat_tokens).
    ///
    /// # Errors
    /// The model has no template, or the template refuses the messages.
    pub fn chat(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, TextError> {
        let end = if add_generation_prompt { ChatEnd::Answer } else { ChatEnd::Message };
        Ok(self.rendered(&Chat { end, ..Chat::new(messages.to_vec()) })?.text)
    }

    fn rendered(&self, chat: &Chat) -> Result<Rendered, TextError> {
        let template = self.template.as_ref().ok_or(TextError::NoTemplate)?;
        Ok(template.render(chat)?)
    }

    /// Tries the chat template out, if there is one: whether it stays within its budgets on a short chat. A template that
    /// refuses that chat is not at fault.
    ///
    /// # Errors
    /// [`TemplateError::Budget`].
    pub fn try_template(&self) -> Result<(), TextError> {
        let user = ChatMessage::new("user", "Hello.");
        let chats = [vec![user.clone()], vec![user.clone(), ChatMessage::new("assistant", "Hello."), user]];
        for chat in chats {
            if let Some(template) = &self.template
                && let Err(error @ TemplateError::Budget { .. }) = template.render(&Chat::new(chat))
            {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// What had to be guessed about the tokenizer, in words for the operator.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The chat template's source.
    pub fn template_source(&self) -> Option<&str> {
        self.template.as_ref().map(ChatTemplate::source)
    }

    /// Whether the chat template tells the model about tools, and shows it the calls that it made.
    pub fn knows_tools(&self) -> bool {
        self.template.as_ref().is_some_and(|template| template.tools().is_whole())
    }

    /// The text of a special token (a mark of the format, which a [`Detokenizer`] leaves out); `None` for any other.
    pub fn special_text(&self, token: u32) -> Option<String> {
        self.pieces.is_special(token).then(|| self.pieces.tokenizer.id_to_token(token)).flatten()
    }

    /// The special token of this text, if there is one.
    pub fn special_id(&self, text: &str) -> Option<u32> {
        self.pieces.tokenizer.token_to_id(text).filter(|token| self.pieces.is_special(*token))
    }

    /// Whether the model has a chat template.
    pub fn has_chat_template(&self) -> bool {
        self.template.is_some()
    }

    /// The bytes of a token, which need not be whole characters; none for an id outside the vocabulary.
    pub fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.pieces.bytes(token)
    }

    /// A token as text for people, with U+FFFD where it holds parts of characters.
    pub fn token_text(&self, token: u32) -> String {
        String::from_utf8_lossy(&self.token_bytes(token)).into_owned()
    }

    /// Whether a token is a mark of the format (end of turn, start of text) and not text.
    pub fn is_special(&self, token: u32) -> bool {
        self.pieces.is_special(token)
    }

    /// Whether a token ends the answer.
    pub fn is_eos(&self, token: u32) -> bool {
        self.eos.contains(&token)
    }

    /// The tokens that end the answer, in ascending order.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// The sampling parameters that the model's makers recommend (generation_config.json), over the general defaults.
    pub fn sampling_defaults(&self) -> &SamplingParams {
        &self.sampling
    }
}

#[cfg(test)]
impl TextModel {
    pub(crate) fn pieces(&self) -> &Pieces {
        &self.pieces
    }
}

#[cfg(test)]
pub(crate) mod tests;
