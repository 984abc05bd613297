//! Between HTTP/2 and the bytes of HTTP/1.1, in which the relay knows every message:
//! frames become bytes in [`Encoder`], bytes become frames in [`Decoder`]. No IO.

mod decode;
mod encode;

use http::{
    HeaderName,
    header::{CONNECTION, TRANSFER_ENCODING, UPGRADE},
};

pub(crate) use self::{
    decode::{Decoder, headers},
    encode::{Encoder, request_head, response_head},
};

/// Headers of one hop that may be left in a head which the relay wrote. HTTP/2 has none
/// of them (RFC 9113 8.2.2).
const OF_ONE_HOP: [HeaderName; 3] = [CONNECTION, TRANSFER_ENCODING, UPGRADE];
