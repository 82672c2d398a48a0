//! The loss curve as an SVG file.

use std::path::Path;

use plotters::prelude::*;

use super::Result;
use super::checkpoint::Point;

const SIZE: (u32, u32) = (760, 420);
const TRAIN: RGBColor = RGBColor(120, 160, 210);
const HELD_OUT: RGBColor = RGBColor(200, 60, 40);
const BASELINE: RGBColor = RGBColor(90, 90, 90);

/// Draws training and held-out loss over steps, and the 5-gram's loss as a level.
pub(crate) fn curve(
    path: &Path,
    title: &str,
    points: &[Point],
    baseline: Option<f64>,
) -> Result<()> {
    let last = points.last().map_or(1, |p| p.step);
    let held_out = points
        .iter()
        .filter_map(|p| Some((p.step, f64::from(p.held_out?))));
    let held_out: Vec<_> = held_out.collect();
    let train: Vec<_> = points
        .iter()
        .map(|p| (p.step, f64::from(p.train)))
        .collect();
    let top = train.iter().map(|p| p.1).fold(1.0, f64::max) * 1.05;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(34)
        .y_label_area_size(44)
        .build_cartesian_2d(0..last, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc("loss, nats per token")
        .draw()?;
    let mut line = |name: &str, colour: RGBColor, points: Vec<(usize, f64)>| -> Result<()> {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
        Ok(())
    };
    line("training", TRAIN, train)?;
    line("held out", HELD_OUT, held_out)?;
    if let Some(loss) = baseline {
        line("5-gram, held out", BASELINE, vec![(0, loss), (last, loss)])?;
    }
    chart.configure_series_labels().border_style(BLACK).draw()?;
    root.present()?;
    Ok(())
}
