#![cfg_attr(feature = "libfuzzer", no_main)]

flash_liquidator_fuzz::target!(websocket);
