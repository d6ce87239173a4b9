//! No path that the API server would treat as rejected gets through the proxy's filter.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../oracle.rs"]
mod oracle;

fuzz_target!(|input: &[u8]| {
    oracle::check(input);
});
