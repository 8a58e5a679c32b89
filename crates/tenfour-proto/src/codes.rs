//! Codes: a number on the wire, a word in every dialect, a reason for people.

/// Makes an enumeration of codes of one table. What this version does not know is `Other`.
macro_rules! codes {
    (
        $(#[$about:meta])*
        pub enum $name:ident, otherwise $unknown:literal $unknown_reason:literal {
            $( $(#[$doc:meta])* $code:ident = $number:literal $word:literal $reason:literal, )*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$doc])* $code, )*
            /// A number that this version does not know.
            Other(u16),
        }

        impl $name {
            /// Those that this version knows.
            pub const ALL: &'static [$name] = &[$( $name::$code, )*];

            /// The number that stands for it on the wire.
            pub fn to_wire(self) -> u16 {
                match self {
                    $( $name::$code => $number, )*
                    $name::Other(number) => number,
                }
            }

            /// The code that a number of the wire stands for.
            pub fn from_wire(number: u16) -> Self {
                match number {
                    $( $number => $name::$code, )*
                    other => $name::Other(other),
                }
            }

            /// One lower-case word, the same in every dialect and in `--json`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $( $name::$code => $word, )*
                    $name::Other(_) => $unknown,
                }
            }

            /// The code that a word stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $( $word => Some($name::$code), )*
                    $unknown => Some($name::Other(0)),
                    _ => None,
                }
            }

            /// The reason in words.
            pub fn reason(self) -> &'static str {
                match self {
                    $( $name::$code => $reason, )*
                    $name::Other(_) => $unknown_reason,
                }
            }
        }
    };
}

pub(crate) use codes;

#[cfg(test)]
mod tests {
    use crate::native::{EndReason, ErrorCode};
    use crate::{RefusalCode, TemporaryCode};

    macro_rules! is_told_apart {
        ($($name:ident)*) => {$(
            for code in $name::ALL {
                assert_eq!($name::from_wire(code.to_wire()), *code);
                assert_eq!($name::from_word(code.as_str()), Some(*code));
            }
            assert_eq!($name::from_wire(999).to_wire(), 999);
            assert_eq!($name::from_word("no such word"), None);
        )*};
    }

    #[test]
    fn codes_have_one_number_and_one_word_each() {
        is_told_apart!(RefusalCode TemporaryCode ErrorCode EndReason);
    }
}
