//! The client's side of one text connection: one message, and perhaps a receipt.

use super::{Answer, GREETING};

/// Longest line a server may answer with; more is not an answer.
const MAX_ANSWER: usize = 1024;

/// What the server's bytes came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Answered(Answer),
    /// It ended the stream without an answer, as the recipe's own server does: nobody knows.
    NoAnswer,
    /// It sent something that is no answer of ours.
    NotTenfour,
}

/// Reads what a text listener says. The driver writes the message itself, then ends its side.
#[derive(Debug, Default)]
pub struct Client {
    greeted: bool,
    buffer: Vec<u8>,
}

impl Client {
    /// A connection that has just been made.
    pub fn new() -> Self {
        Client::default()
    }

    /// Takes what arrived; gives the outcome once there is one.
    pub fn handle_bytes(&mut self, input: &[u8]) -> Option<Outcome> {
        self.buffer.extend_from_slice(input);
        if !self.greeted && !self.buffer.starts_with(b"no ") {
            if self.buffer.starts_with(GREETING) {
                self.greeted = true;
                self.buffer.drain(..GREETING.len());
            } else if !GREETING.starts_with(&self.buffer) && !b"no ".starts_with(&self.buffer) {
                return Some(Outcome::NotTenfour);
            }
        }
        if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
            let answer = self
                .buffer
                .get(..end)
                .and_then(|line| std::str::from_utf8(line).ok())
                .and_then(Answer::parse);
            return Some(answer.map_or(Outcome::NotTenfour, Outcome::Answered));
        }
        (self.buffer.len() > MAX_ANSWER).then_some(Outcome::NotTenfour)
    }

    /// The greeting has been read whole.
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// The server ended the stream.
    pub fn handle_end(&self) -> Outcome {
        // A line that was cut short is as good as none.
        Outcome::NoAnswer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_follows_the_greeting_directly_however_it_is_cut() {
        let bytes = b"You are connected!10-4 inbox 7\n";
        for cut in 0..bytes.len() {
            let mut client = Client::new();
            assert_eq!(client.handle_bytes(&bytes[..cut]), None);
            let outcome = client.handle_bytes(&bytes[cut..]);
            assert!(matches!(
                outcome,
                Some(Outcome::Answered(Answer::Stored { offset: 7, .. }))
            ));
        }
    }

    #[test]
    fn the_recipes_own_server_gives_no_answer() {
        let mut client = Client::new();
        assert_eq!(client.handle_bytes(b"You are connected!"), None);
        assert!(client.is_greeted());
        assert_eq!(client.handle_end(), Outcome::NoAnswer);
    }

    #[test]
    fn a_busy_server_answers_in_place_of_the_greeting() {
        let outcome = Client::new().handle_bytes(b"no busy try again later\n");
        assert!(matches!(outcome, Some(Outcome::Answered(Answer::NotNow(_)))));
        let mut client = Client::new();
        assert_eq!(client.handle_bytes(b"You are connected!10-4 inbox 41"), None);
        assert_eq!(client.handle_end(), Outcome::NoAnswer);
    }

    #[test]
    fn another_server_is_not_believed() {
        assert_eq!(
            Client::new().handle_bytes(b"220 mail ready\r\n"),
            Some(Outcome::NotTenfour)
        );
        let mut client = Client::new();
        assert_eq!(
            client.handle_bytes(b"You are connected!10-4 inbox x\n"),
            Some(Outcome::NotTenfour)
        );
    }
}
