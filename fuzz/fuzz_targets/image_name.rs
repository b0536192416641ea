#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mosaic_fuzz::images::image_name(data));
