//! Draws texts as QR codes.

use qrcode::QrCode;
use qrcode::render::{svg as vector, unicode::Dense1x2};

use crate::device::PairingOffer;

/// Modules of white around the code: fewer, and cameras miss it (ISO/IEC 18004).
const QUIET: usize = 4;

/// A text too long for a QR code, or a picture that could not be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text does not fit a QR code")]
pub struct PictureError;

fn code_of(text: &str) -> Result<QrCode, PictureError> {
    QrCode::new(text.as_bytes()).map_err(|_| PictureError)
}

/// Draws `text` as a QR code: a black and white PNG, 8 pixels a module with the quiet zone of 4.
///
/// # Errors
/// [`PictureError`].
pub fn png(text: &str) -> Result<Vec<u8>, PictureError> {
    const SCALE: usize = 8;
    let code = code_of(text)?;
    let modules = code.width();
    let colors = code.to_colors();
    let side = (modules + 2 * QUIET) * SCALE;
    let mut pixels = vec![255u8; side * side];
    for (i, pixel) in pixels.iter_mut().enumerate() {
        let (x, y) = ((i % side) / SCALE, (i / side) / SCALE);
        let inside = (QUIET..QUIET + modules).contains(&x) && (QUIET..QUIET + modules).contains(&y);
        if inside && colors[(y - QUIET) * modules + (x - QUIET)] == qrcode::Color::Dark {
            *pixel = 0;
        }
    }
    let mut picture = Vec::new();
    let width = u32::try_from(side).map_err(|_| PictureError)?;
    let mut encoder = png::Encoder::new(&mut picture, width, width);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|_| PictureError)?;
    writer.write_image_data(&pixels).map_err(|_| PictureError)?;
    writer.finish().map_err(|_| PictureError)?;
    Ok(picture)
}

/// Draws `text` as a QR code: an SVG of 8 units a module, quiet zone included, for a page of any size.
///
/// # Errors
/// [`PictureError`].
pub fn svg(text: &str) -> Result<String, PictureError> {
    Ok(code_of(text)?.render::<vector::Color<'_>>().module_dimensions(8, 8).build())
}

/// Draws `text` as a QR code out of half blocks, quiet zone included, for a terminal with a dark background.
///
/// # Errors
/// [`PictureError`].
pub fn terminal(text: &str) -> Result<String, PictureError> {
    let code = code_of(text)?;
    // `Dark` is where a block is written, and a terminal writes light on dark: it is the light modules that are written.
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

/// The picture that a phone scans. Each holds the proof: show it to the user who asked, cache it nowhere.
impl PairingOffer {
    /// As a PNG; see [`png()`].
    ///
    /// # Errors
    /// [`PictureError`].
    pub fn qr_png(&self) -> Result<Vec<u8>, PictureError> {
        png(&self.pairing_uri)
    }

    /// As an SVG; see [`svg`].
    ///
    /// # Errors
    /// [`PictureError`].
    pub fn qr_svg(&self) -> Result<String, PictureError> {
        svg(&self.pairing_uri)
    }

    /// As text; see [`terminal`].
    ///
    /// # Errors
    /// [`PictureError`].
    pub fn qr_terminal(&self) -> Result<String, PictureError> {
        terminal(&self.pairing_uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str =
        "bloonio://pair?relay=https%3A%2F%2Frelay.example&proof=eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIxIn0.c2ln";

    /// Row by row, whether a module is dark; the quiet zone included.
    fn expected() -> Vec<Vec<bool>> {
        let code = QrCode::new(URI.as_bytes()).unwrap();
        let (side, colors) = (code.width(), code.to_colors());
        let dark = |x: usize, y: usize| {
            let (x, y) = (x.wrapping_sub(QUIET), y.wrapping_sub(QUIET));
            x < side && y < side && colors[y * side + x] == qrcode::Color::Dark
        };
        (0..side + 2 * QUIET).map(|y| (0..side + 2 * QUIET).map(|x| dark(x, y)).collect()).collect()
    }

    fn offer() -> PairingOffer {
        PairingOffer { pairing_proof: String::new(), expires_in: 300, pairing_uri: URI.to_owned() }
    }

    #[test]
    fn the_png_shows_the_code_at_8_pixels_a_module() {
        let picture = offer().qr_png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let side = reader.next_frame(&mut pixels).unwrap().width as usize;
        let expected = expected();
        assert_eq!(side, expected.len() * 8);
        for (i, pixel) in pixels.iter().enumerate() {
            let dark = expected[i / side / 8][i % side / 8];
            assert_eq!(*pixel == 0, dark, "pixel {i}");
        }
    }

    #[test]
    fn the_terminal_shows_the_code_with_the_light_modules_lit() {
        let text = offer().qr_terminal().unwrap();
        let expected = expected();
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        assert_eq!(lines.len(), expected.len().div_ceil(2));
        for (y, row) in expected.iter().enumerate() {
            for (x, dark) in row.iter().enumerate() {
                let lit = match lines[y / 2][x] {
                    '█' => true,
                    '▀' => y % 2 == 0,
                    '▄' => y % 2 == 1,
                    ' ' => false,
                    other => panic!("{other:?}"),
                };
                assert_eq!(lit, !dark, "{x}, {y}");
            }
        }
    }

    #[test]
    fn the_svg_is_as_large_as_the_code_and_has_each_dark_module() {
        let text = offer().qr_svg().unwrap();
        let expected = expected();
        let side = expected.len() * 8;
        assert!(text.contains(&format!(r#"viewBox="0 0 {side} {side}""#)), "{}", &text[..200]);
        for (y, row) in expected.iter().enumerate() {
            for (x, _) in row.iter().enumerate().filter(|(_, dark)| **dark) {
                assert!(text.contains(&format!("M{} {}h", x * 8, y * 8)), "{x}, {y}");
            }
        }
        assert!(!text.contains(URI), "a picture, not a text");
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        let text = "x".repeat(3000);
        assert_eq!(
            (png(&text), svg(&text), terminal(&text)),
            (Err(PictureError), Err(PictureError), Err(PictureError))
        );
    }
}
