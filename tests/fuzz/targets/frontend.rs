//! Frames from a client. What reads is written again to the same bytes.
#![no_main]

use bytes::BytesMut;
use howdah_wire::frontend::{
    Bind, Close, CopyData, CopyDone, CopyFail, Describe, Execute, Flush, FunctionCall, Parse,
    Password, Query, SaslInitialResponse, SaslResponse, Sync, Terminate, tag,
};
use howdah_wire::{BodyError, frame, limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some(head)) = frame::peek(rest, limits::MAX_FRAME_LEN) {
        assert_eq!(frame::peek(&rest[..frame::HEADER_LEN], limits::MAX_FRAME_LEN), Ok(Some(head)));
        let Some((frame, more)) = rest.split_at_checked(head.len) else { break };
        for written in rewrite(head.tag, &frame[frame::HEADER_LEN..]) {
            assert_eq!(written, frame);
        }
        rest = more;
    }
});

/// The frame again, for each way of reading the body that succeeds.
fn rewrite(tag: u8, body: &[u8]) -> Vec<BytesMut> {
    macro_rules! views {
        ($($tag:ident: $($view:ident),+;)*) => {
            match tag {
                $(tag::$tag => vec![$(again($view::read(body), |view, out| view.write(out))),+],)*
                _ => Vec::new(),
            }
        };
    }
    let written = views! {
        BIND: Bind;
        CLOSE: Close;
        COPY_DATA: CopyData;
        COPY_DONE: CopyDone;
        COPY_FAIL: CopyFail;
        DESCRIBE: Describe;
        EXECUTE: Execute;
        FLUSH: Flush;
        FUNCTION_CALL: FunctionCall;
        PARSE: Parse;
        PASSWORD: Password, SaslInitialResponse, SaslResponse;
        QUERY: Query;
        SYNC: Sync;
        TERMINATE: Terminate;
    };
    written.into_iter().flatten().collect()
}

fn again<V>(view: Result<V, BodyError>, write: impl FnOnce(&V, &mut BytesMut)) -> Option<BytesMut> {
    let mut out = BytesMut::new();
    write(&view.ok()?, &mut out);
    Some(out)
}
