//! What is parsed from text may be given as text: `client.send("inbox", ..)` and `client.send(name, ..)`.

/// Makes the conversions of one type.
macro_rules! from_text {
    ($name:ident, $error:ident) => {
        from_text!(@text $name, $error, &str, String, &String);

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        /// So that the name itself may be given, too.
        impl From<std::convert::Infallible> for $error {
            fn from(never: std::convert::Infallible) -> Self {
                match never {}
            }
        }
    };
    (@text $name:ident, $error:ident, $($text:ty),*) => {$(
        impl TryFrom<$text> for $name {
            type Error = $error;

            fn try_from(text: $text) -> Result<Self, $error> {
                text.parse()
            }
        }
    )*};
}

pub(crate) use from_text;
