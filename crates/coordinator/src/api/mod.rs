//! What the coordinator serves over HTTP. Only [`openai`] knows OpenAI's JSON.

pub mod openai;
