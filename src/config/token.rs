//! The secret that clients present when they connect.

use std::fmt;

use thiserror::Error;

/// Longest token: it travels in a handshake that is read before anybody is trusted.
pub const TOKEN_BYTES_MAX: usize = 256;

/// A token. Shows nothing of itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a token file holds no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Nothing but white space.
    #[error("the file is empty; put the token in it, on one line")]
    Empty,
    /// Too long.
    #[error("the token has {bytes} bytes; at most {TOKEN_BYTES_MAX} are possible")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// White space or control characters inside: probably more than one line.
    #[error("the token holds white space or control characters; the file must hold one line with the token alone")]
    Characters,
}

impl Token {
    /// The token in the text of a token file: one line, white space around it ignored.
    pub fn from_file_text(text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        if token.is_empty() {
            return Err(TokenError::Empty);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { bytes: token.len() });
        }
        if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(TokenError::Characters);
        }
        Ok(Self(token.to_owned()))
    }

    /// The secret itself, for the handshake.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
