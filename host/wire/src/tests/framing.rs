//! Frames, and the chunking law: where a stream is cut makes no difference.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use crate::frame::{self, FrameError, HEADER_LEN, Head, peek};
use crate::limits::MAX_FRAME_LEN;

/// Takes all whole frames off the front.
fn take(buf: &mut BytesMut, into: &mut Vec<(u8, Vec<u8>)>) {
    while let Some(head) = peek(buf, MAX_FRAME_LEN).unwrap().filter(|head| head.len <= buf.len()) {
        let frame = buf.split_to(head.len);
        into.push((head.tag, frame[HEADER_LEN..].to_vec()));
    }
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 0..12),
        cuts in prop::collection::vec(1..20_usize, 1..40),
    ) {
        let mut stream = BytesMut::new();
        for (tag, body) in &frames {
            frame::write(&mut stream, *tag, |out| out.put_slice(body));
        }
        let (mut rest, mut buf, mut seen) = (&stream[..], BytesMut::new(), Vec::new());
        for cut in cuts.iter().cycle() {
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            buf.put_slice(piece);
            take(&mut buf, &mut seen);
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(seen, frames);
        prop_assert!(buf.is_empty());
    }

    #[test]
    fn no_length_is_believed_beyond_the_limit(tag: u8, len: u32, limit in HEADER_LEN..100_000) {
        let mut buf = BytesMut::new();
        buf.put_u8(tag);
        buf.put_u32(len);
        let total = len as usize + 1;
        let expected = match (HEADER_LEN..=limit).contains(&total) {
            true => Ok(Some(Head { tag, len: total })),
            false => Err(FrameError),
        };
        prop_assert_eq!(peek(&buf, limit), expected);
    }
}

#[test]
fn a_head_needs_five_bytes() {
    for n in 0..HEADER_LEN {
        assert_eq!(peek(&b"S\xff\xff\xff\xff"[..n], MAX_FRAME_LEN), Ok(None));
    }
    assert_eq!(peek(b"S\0\0\0\x04", MAX_FRAME_LEN), Ok(Some(Head { tag: b'S', len: 5 })));
}

#[test]
fn lengths_at_the_edges_are_refused() {
    for len in [0_u32, 1, 2, 3, 0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffb, 0xffff_ffff] {
        let head = [&b"Q"[..], &len.to_be_bytes()].concat();
        assert_eq!(peek(&head, MAX_FRAME_LEN), Err(FrameError), "{len:#x}");
    }
    let longest = [&b"Q"[..], &0x3fff_fffe_u32.to_be_bytes()].concat();
    assert_eq!(peek(&longest, MAX_FRAME_LEN).unwrap().unwrap().len, MAX_FRAME_LEN);
}
