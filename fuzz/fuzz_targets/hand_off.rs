#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nodesockd_fuzz::hand_off(bytes));
