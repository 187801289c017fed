//! `gogrid chat`: a chat in the terminal, or line by line for scripts.
//!
//! A thread of its own reads the lines, because reading a terminal cannot be cancelled, and Ctrl-C arrives as a message
//! beside them. Both are arguments of the loop, so that tests can play them.

mod command;
#[cfg(test)]
mod tests;

use crate::client::{ApiClient, ApiClientError, Message, Question, Summary, choose_model, connect, names};
use anyhow::{Context, Result, bail};
use command::Command;
use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread,
};
use tokio::sync::mpsc;

/// The help for the commands.
const HELP: &str = "\
/reset        forget the chat so far
/model        show the models
/model NAME   go on with another model
/quit         end (as does Ctrl-C at the prompt, or Ctrl-D)";

/// The options of `gogrid chat`.
#[derive(Debug, Clone)]
pub(crate) struct ChatOptions {
    /// The URL of the coordinator's API.
    pub(crate) url: String,
    /// The model's name; `None` takes the first that is ready.
    pub(crate) model: Option<String>,
    /// 0 always takes the most likely token; `None` leaves it to the model's own default.
    pub(crate) temperature: Option<f32>,
}

/// Chats with the user at this terminal, or answers each line of standard input if that is not a terminal.
///
/// # Errors
/// When the coordinator cannot be reached or does not know the model; without a terminal also when an answer fails.
pub(crate) async fn run(options: ChatOptions) -> Result<()> {
    let client = connect(&options.url)?;
    let model = choose_model(&client, options.model.as_deref()).await?;
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut chat =
        Chat { client, model, temperature: options.temperature, history: Vec::new(), terminal, out: io::stdout() };
    chat.run(stdin_lines()?, interrupts()).await
}

/// The lines of standard input. The thread that reads them ends with the program at the latest.
fn stdin_lines() -> Result<mpsc::Receiver<io::Result<String>>> {
    // One line in advance: a script's next line need not be in memory before its turn.
    let (sender, lines) = mpsc::channel(1);
    let read = move || {
        for line in io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    };
    thread::Builder::new().name("stdin".to_owned()).spawn(read).context("no thread can be started")?;
    Ok(lines)
}

/// A message for each Ctrl-C.
fn interrupts() -> mpsc::Receiver<()> {
    // One is enough: what matters is whether it was pressed since the last check.
    let (sender, interrupts) = mpsc::channel(1);
    tokio::spawn(async move {
        while !sender.is_closed() && tokio::signal::ctrl_c().await.is_ok() {
            let _already_told = sender.try_send(());
        }
    });
    interrupts
}

/// One chat.
struct Chat<W> {
    client: ApiClient,
    model: String,
    temperature: Option<f32>,
    history: Vec<Message>,
    /// Whether a person uses it: then it shows prompts and figures, and an error does not end the chat.
    terminal: bool,
    out: W,
}

/// How an answer ended without an error.
enum Answered {
    Whole(Summary),
    Interrupted,
}

impl<W: Write> Chat<W> {
    async fn run(
        &mut self,
        mut lines: mpsc::Receiver<io::Result<String>>,
        mut interrupts: mpsc::Receiver<()>,
    ) -> Result<()> {
        self.say(&format!("{} at {}; /help lists the commands\n", self.model, self.client.url()))?;
        loop {
            self.say("> ")?;
            let line = tokio::select! {
                line = lines.recv() => line,
                Some(()) = interrupts.recv() => None,
            };
            let Some(line) = line else {
                return self.say("\n");
            };
            let line = line.context("standard input cannot be read")?;
            match Command::parse(&line) {
                Command::Nothing => {}
                Command::Quit => return Ok(()),
                Command::Help => writeln!(self.out, "{HELP}")?,
                Command::Reset => self.history.clear(),
                Command::Models => {
                    let outcome = self.show_models().await;
                    self.survive(outcome)?;
                }
                Command::Model(name) => {
                    let outcome = choose_model(&self.client, Some(name)).await.map(|name| self.model = name);
                    self.survive(outcome)?;
                }
                Command::Unknown(name) => {
                    let outcome = Err(anyhow::anyhow!("there is no command {name}; /help lists them"));
                    self.survive(outcome)?;
                }
                Command::Ask(text) => {
                    let outcome = self.ask(text, &mut interrupts).await;
                    self.survive(outcome)?;
                }
            }
        }
    }

    async fn ask(&mut self, text: &str, interrupts: &mut mpsc::Receiver<()>) -> Result<()> {
        self.history.push(Message { role: "user", content: text.to_owned() });
        let mut answer = String::new();
        let outcome = {
            let question = Question { model: &self.model, messages: &self.history, temperature: self.temperature };
            let (out, terminal, answer) = (&mut self.out, self.terminal, &mut answer);
            let stream = self.client.stream_chat(question, |text| {
                answer.push_str(text);
                match terminal {
                    true => out.write_all(printable(text).as_bytes())?,
                    false => out.write_all(text.as_bytes())?,
                }
                out.flush()
            });
            tokio::select! {
                Some(()) = interrupts.recv() => Ok(Answered::Interrupted),
                summary = stream => summary.map(Answered::Whole),
            }
        };
        // A question without an answer would confuse the next one. Any part of an answer stays.
        match answer.is_empty() {
            true => drop(self.history.pop()),
            false => self.history.push(Message { role: "assistant", content: answer }),
        }
        match outcome {
            Ok(Answered::Whole(summary)) => {
                writeln!(self.out)?;
                self.say(&figures(&summary))
            }
            Ok(Answered::Interrupted) if self.terminal => self.say("\n(stopped)\n"),
            Ok(Answered::Interrupted) => bail!("interrupted"),
            Err(error) => {
                self.say("\n")?;
                Err(error.into())
            }
        }
    }

    async fn show_models(&mut self) -> Result<()> {
        let models = self.client.models().await?;
        writeln!(self.out, "{}; this chat is with {}", names(&models), self.model)?;
        Ok(())
    }

    /// Shows a person what went wrong and goes on; ends a script.
    fn survive(&mut self, outcome: Result<()>) -> Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        let failed = error.downcast_ref::<ApiClientError>();
        let unwritten = error.is::<io::Error>() || matches!(failed, Some(ApiClientError::Write(_)));
        if !self.terminal || unwritten {
            return Err(error);
        }
        writeln!(self.out, "error: {error:#}")?;
        let refusal = if let Some(ApiClientError::Refused(refusal)) = failed { Some(refusal) } else { None };
        if refusal.is_some_and(|refusal| refusal.code.as_deref() == Some("context_length_exceeded")) {
            writeln!(self.out, "/reset begins a new chat")?;
        }
        Ok(())
    }

    /// Writes text that only a person wants to read.
    fn say(&mut self, text: &str) -> Result<()> {
        if self.terminal {
            self.out.write_all(text.as_bytes())?;
            self.out.flush()?;
        }
        Ok(())
    }
}

fn figures(summary: &Summary) -> String {
    let Summary { completion_tokens, first_text, .. } = summary;
    let rate = summary.tokens_per_second().map(|rate| format!(", {rate:.1} tok/s")).unwrap_or_default();
    format!("({completion_tokens} tokens{rate}, first after {:.2} s)\n", first_text.as_secs_f64())
}

/// Text without the control characters by which an answer could take over the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}
