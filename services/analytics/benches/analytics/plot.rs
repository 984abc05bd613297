//! Bars on a logarithmic scale as SVG, in colours that can be read on white and
//! on black.

use std::fmt::Write as _;

const COLOURS: [&str; 5] = ["#4c9be8", "#3aa675", "#d98e32", "#b56fd8", "#d9596b"];
const TEXT: &str = "#7d8590";
const GRID: &str = "#7d859055";
const GOAL: &str = "#d9596b";

const LABELS: f64 = 330.0;
const WIDTH: f64 = 520.0;
const BAR: f64 = 7.0;
const GAP: f64 = 8.0;
const TOP: f64 = 56.0;

/// The bars of one name, one for each entry of the legend.
pub(crate) struct Bars {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
}

/// The picture; a line stands at `goal`.
pub(crate) fn plot(title: &str, legend: &[String], bars: &[Bars], goal: f64) -> String {
    let most = bars.iter().flat_map(|bars| &bars.values).copied().fold(2.0 * goal, f64::max);
    let decades = most.log10().ceil();
    // From 0.1 on.
    let x = |value: f64| LABELS + WIDTH * ((value.max(0.1).log10() + 1.0) / (decades + 1.0));
    let row = BAR * legend.len() as f64 + GAP;
    let bottom = TOP + row * bars.len() as f64;
    let (width, height) = (LABELS + WIDTH + 20.0, bottom + 30.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"{TEXT}\" role=\"img\">\n\
         <title>{}</title>\n<text x=\"8\" y=\"18\" font-size=\"14\">{0}</text>\n",
        escaped(title)
    );
    for (at, name) in legend.iter().enumerate() {
        let left = LABELS + 90.0 * at as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"28\" width=\"12\" height=\"12\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"38\">{}</text>",
            COLOURS[at % COLOURS.len()],
            left + 17.0,
            escaped(name)
        );
    }
    for power in -1..=decades as i32 {
        let value = 10_f64.powi(power);
        line(&mut svg, x(value), bottom, GRID, "");
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
            x(value),
            bottom + 16.0
        );
    }
    for (at, bars) in bars.iter().enumerate() {
        let y = TOP + row * at as f64;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LABELS - 8.0,
            y + (row - GAP) / 2.0 + 4.0,
            escaped(&bars.name)
        );
        for (at, value) in bars.values.iter().enumerate() {
            let _ = writeln!(
                svg,
                "<rect x=\"{LABELS}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\">\
                 <title>{value:.1} ms</title></rect>",
                y + BAR * at as f64,
                (x(*value) - LABELS).max(1.0),
                BAR - 1.0,
                COLOURS[at % COLOURS.len()]
            );
        }
    }
    line(&mut svg, x(goal), bottom, GOAL, " stroke-dasharray=\"4 3\"");
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{}\" fill=\"{GOAL}\" text-anchor=\"middle\">goal {goal}</text>",
        x(goal),
        TOP - 4.0
    );
    svg.push_str("</svg>\n");
    svg
}

fn line(svg: &mut String, x: f64, bottom: f64, colour: &str, more: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"{colour}\"{more}/>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
