//! Caps on what bytes from outside may cost.

use crate::error::SigmaError;

/// Longest content of one frame that the format allows, in bytes.
pub(crate) const FORMAT_FRAME_BYTES_MAX: u64 = 1 << 30;

/// No zstd block makes more than 128 KiB from 4 bytes.
pub(crate) const FORMAT_RATIO_MAX: u64 = 32_768;

/// Caps that a decoder checks before it allocates.
///
/// Set fields through the setters of the same name.
///
/// ```
/// use sigma_lang::Limits;
/// let limits = Limits::default().output_bytes_max(64 << 20);
/// assert_eq!(limits.output_bytes_max, 64 << 20);
/// assert_eq!(limits.frames_max, 1 << 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Content bytes that one call (or one stream) may give. Default 1 GiB.
    pub output_bytes_max: u64,
    /// Content bytes in one frame; a stream decoder holds one frame. Default 64 MiB; the format
    /// ends at 1 GiB.
    pub frame_bytes_max: u64,
    /// zstd window of one frame in bytes. Default 128 MiB, which all zstd levels stay within.
    pub window_bytes_max: u64,
    /// Frames in one container; each costs about 50 bytes of memory. Default 1,048,576.
    pub frames_max: u64,
    /// Content bytes per container byte of one frame. Default 32,768, the most that zstd can reach.
    pub ratio_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            output_bytes_max: 1 << 30,
            frame_bytes_max: 64 << 20,
            window_bytes_max: 128 << 20,
            frames_max: 1 << 20,
            ratio_max: FORMAT_RATIO_MAX,
        }
    }
}

impl Limits {
    /// The defaults, as [`Limits::default`].
    pub fn new() -> Self {
        Limits::default()
    }

    /// Sets [`Limits::output_bytes_max`].
    pub fn output_bytes_max(mut self, bytes: u64) -> Self {
        self.output_bytes_max = bytes;
        self
    }

    /// Sets [`Limits::frame_bytes_max`].
    pub fn frame_bytes_max(mut self, bytes: u64) -> Self {
        self.frame_bytes_max = bytes;
        self
    }

    /// Sets [`Limits::window_bytes_max`].
    pub fn window_bytes_max(mut self, bytes: u64) -> Self {
        self.window_bytes_max = bytes;
        self
    }

    /// Sets [`Limits::frames_max`].
    pub fn frames_max(mut self, frames: u64) -> Self {
        self.frames_max = frames;
        self
    }

    /// Sets [`Limits::ratio_max`].
    pub fn ratio_max(mut self, ratio: u64) -> Self {
        self.ratio_max = ratio;
        self
    }

    pub(crate) fn check_output(&self, bytes: u64) -> Result<(), SigmaError> {
        check("content", bytes, self.output_bytes_max, "bytes")
    }

    pub(crate) fn check_window(&self, bytes: u64) -> Result<(), SigmaError> {
        check("window", bytes, self.window_bytes_max, "bytes")
    }

    pub(crate) fn check_frames(&self, frames: u64) -> Result<(), SigmaError> {
        check("number of frames", frames, self.frames_max, "frames")
    }

    /// Checks what one frame declares: content, window and expansion.
    pub(crate) fn check_frame(
        &self,
        content_bytes: u64,
        window_bytes: u64,
        frame_bytes: u64,
    ) -> Result<(), SigmaError> {
        check(
            "content of a frame",
            content_bytes,
            self.frame_bytes_max,
            "bytes",
        )?;
        check(
            "window of a frame",
            window_bytes,
            self.window_bytes_max,
            "bytes",
        )?;
        let ratio = content_bytes.div_ceil(frame_bytes.max(1));
        check(
            "expansion of a frame",
            ratio,
            self.ratio_max,
            "bytes per byte",
        )
    }
}

fn check(
    what: &'static str,
    value: u64,
    allowed: u64,
    unit: &'static str,
) -> Result<(), SigmaError> {
    if value > allowed {
        return Err(SigmaError::LimitExceeded {
            what,
            value,
            allowed,
            unit,
        });
    }
    Ok(())
}
