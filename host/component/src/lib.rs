//! The engine that runs sandboxes, as far as two programs must agree about it: the build
//! script that compiles a guest ahead of time, and the server that runs the result.

#[cfg(feature = "build")]
pub mod build;

use wasmtime::{Config, Engine, component::Component};

/// The engine's settings. A compiled component runs only in an engine whose settings are
/// those that it was compiled with, so this one function makes them for both.
///
/// Settings of the running engine alone (allocation, stack sizes) may be added to it.
#[must_use]
pub fn engine_config() -> Config {
    let mut config = Config::new();
    // The deadline: compiled code looks at the epoch wherever it could go on for ever.
    config.epoch_interruption(true);
    config
}

/// A component that was compiled ahead of time.
#[derive(Debug, Clone, Copy)]
pub struct Precompiled {
    bytes: &'static [u8],
}

impl Precompiled {
    /// Takes the bytes of a compiled component.
    ///
    /// # Safety
    /// They are machine code: `bytes` must be what [`build`](crate#) wrote, unchanged, as
    /// an embedded file is.
    #[must_use]
    #[expect(
        unsafe_code,
        reason = "the caller must know where the machine code is from"
    )]
    pub const unsafe fn new(bytes: &'static [u8]) -> Self {
        Self { bytes }
    }

    /// Makes the component ready to run.
    ///
    /// # Errors
    /// The engine has other settings, or is for another processor, than the component was
    /// compiled for.
    pub fn load(&self, engine: &Engine) -> Result<Component, wasmtime::Error> {
        #[expect(
            unsafe_code,
            reason = "`new` has its caller promise that this is sound"
        )]
        // SAFETY: `new`'s caller promises that the bytes are a compiled component.
        unsafe {
            Component::deserialize(engine, self.bytes)
        }
    }
}
