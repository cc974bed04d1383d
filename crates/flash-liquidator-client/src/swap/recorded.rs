//! Accounts as mainnet had them, to hold the layouts against. Their bytes are
//! public; they are cut off behind what is read and padded with zeros.

use base64::{Engine, engine::general_purpose::STANDARD};

/// The account's bytes, `len` of them.
pub(crate) fn account(recorded: &str, len: usize) -> Vec<u8> {
    let mut data = STANDARD.decode(recorded).expect("base64");
    data.resize(len, 0);
    data
}

/// Whirlpool `Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE`: SOL and USDC, a tick
/// spacing of 4, read on 2026-06-23.
pub(crate) const WHIRLPOOL_SOL_USDC: &str = "\
    P5XRDOGAYwkT5EH4ORPKaLBjT7Al/eqohzfoQRDRJV41ezN33e4czf8EAAQAkAEUBceq8S8UcwIAAAAAAAAAAABZ\
    ntukYcJDRQAAAAAAAAAA3Zn//1gmDgMAAAAA4RyjAQAAAAAGm4hX/quBhPtof2NGGMA12sQ53BrrO1WYoPAAAAAA\
    AchN8kM4mDvkqFswl7r0C8lXEQjSiawAs2jfF11Edc963YxkRuWoRbEAAAAAAAAAAMb6evO+2606PWXzaqvJdDGx\
    u+TC0vbg5HymAgNFL11hFl+VcsWpaqUC3VEQVKJqbSWO98HW1sGu4SkZFNxRAjI=";

/// A Whirlpool without concentration (a "splash pool"), whose tick spacing makes
/// two arrays of the whole scale, read in April 2025.
pub(crate) const WHIRLPOOL_SPLASH: &str = "\
    P5XRDOGAYwkT5EH4ORPKaLBjT7Al/eqohzfoQRDRJV41ezN33e4czfaAgICAECcUBSzrbQgAAAAAAAAAAAAAAACA\
    6h/4JC+ZrTYUAQAAAAAAamgDAAAAAAAAAAAAAAAAAAAAAAAGm4hX/quBhPtof2NGGMA12sQ53BrrO1WYoPAAAAAA\
    AVNeKhKbTZDK3dxPyfks9T+8D/p81+dYjVgXHrZVRgt8AAAAAAAAAAAAAAAAAAAAAMEXU1QTqhyLpieWMKfxiiNM\
    KVAR2XPOmvX3tnIDSXX9EBwrNgjLY0JJYm5kuZDtFolrsk5JtdsWlUL+do+l3s4=";

/// CPMM pool `FmNz8z2oN4CheHj4EUXVXC6doFN4RRmhGwxFQgrJVJFs`: SOL and CLNS, read on
/// 2026-06-23.
pub(crate) const CPMM_SOL_CLNS: &str = "\
    9+3j9dfD3kYYqU87qGd9BoiPIo/FUcw+QszFrbtpttXgwSH4xgBKOIeDzdk2DWWVf4SVivQiBn/uNQhK3rOWBaFP\
    mesTkI0VZGGbD4pIZFbJyfoeI3Ullysm0L/RgSx5SVqw81SpbQiDpbGIwDU2wZJ38meocZ6xHrSou1NcKx8k7nqa\
    pG4wW42VWX+JLdwGrrIv7pj8UoW2LA6LBQM8/kVTKUSMb/nhBpuIV/6rgYT7aH9jRhjANdrEOdwa6ztVmKDwAAAA\
    AAGogndEyk5zgZr3oVX9piz0to77Jg5F/XjN3kZ2B1+YkAbd9uHXZaGT2cvhRs7reawctIXtX1s3kTqM9YV+/wCp\
    Bt324ddloZPZy+FGzut5rBy0he1fWzeROoz1hX7/AKnFCMdJAbfrH/vOkia/cKFLSYTAGlOdRGL2ceESH9kJ0v0A";

/// CLMM pool `3ucNos4NbumPLZNWztqGHNFFgkHeRMBQAVemeeomsUxv`: SOL and USDC, a tick
/// spacing of 1, read on 2025-09-13: its first 273 bytes, up to the current tick.
pub(crate) const CLMM_SOL_USDC: &str = "\
    9+3j9dfD3kb/J/h1kZHXDyshRTJ1cBKA+75w9IwihSFNbCJrm2AsTU2n4L9mLmKyVEpBQSbsZYZslSyLgLfqrjxP\
    jwNPsqt58AabiFf+q4GE+2h/Y0YYwDXaxDncGus7VZig8AAAAAABxvp6877brTo9ZfNqq8l0MbG75MLS9uDkfKYC\
    A0UvXWE1xC8EegCgoA4uXlAv1Mq8Ujt5easRI0mT0Kd5/M0SaUYpXTwujyqOjii0GtMaFsBn/mlkafyZcZXVyvv1\
    WhbIJa4wmFjRjYV3XU2tkbL5lj49adulPU/iZbZpnkdbsRkJBgEA86Ld15kMAQAAAAAAAAAAAADcU/ZnWgx+AAAA\
    AAAAAAClyP//";

/// The same pool's bitmap at that moment.
pub(crate) const CLMM_SOL_USDC_BITMAP: [u64; 16] = [
    13_233_894_920_445_562_880,
    16_138_067_892_758_380_435,
    18_446_744_073_709_551_615,
    18_446_744_073_709_551_615,
    18_446_744_073_709_551_615,
    337_992_908_638_485_503,
    4_516_828_126_648_832,
    1_143_210_130,
    1_073_840_145,
    72_057_594_037_927_936,
    0,
    0,
    0,
    9_223_372_036_854_775_808,
    0,
    0,
];
