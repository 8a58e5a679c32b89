//! The datagrams: what can be decoded is the same once it was encoded.

use std::time::Duration;

use tenfour_proto::Moment;
use tenfour_proto::datagram::{Client, Receipt, Request, is_ours};

/// A datagram from a stranger, at either side.
pub fn datagram(input: &[u8]) {
    let request = Request::decode(input);
    let receipt = Receipt::decode(input);
    if let Ok(request) = &request {
        assert!(is_ours(input));
        assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(request));
        let now = Moment::default();
        let mut client = Client::new(request.clone(), now, now + Duration::from_secs(1));
        assert!(client.poll_transmit(now).is_some());
        // Whatever was sent is no answer to itself.
        assert_eq!(client.handle_datagram(input), None);
    }
    if let Ok(receipt) = &receipt {
        assert!(is_ours(input));
        assert_eq!(Receipt::decode(&receipt.encode()).as_ref(), Ok(receipt));
    }
    assert!(request.is_err() || receipt.is_err(), "it is one or the other");
}
