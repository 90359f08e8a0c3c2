//! The page: what a browser loads. All of it is in the program, and nothing comes from elsewhere.

/// Content type and text of a file, by its path.
pub(crate) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(name, ..)| *name == path).map(|(_, kind, text)| (*kind, *text))
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("index.html")),
    ("/style.css", CSS, include_str!("style.css")),
    ("/icon.svg", SVG, include_str!("icon.svg")),
    ("/main.js", JS, include_str!("main.js")),
    ("/proxy.js", JS, include_str!("proxy.js")),
    ("/history.js", JS, include_str!("history.js")),
    ("/parts.js", JS, include_str!("parts.js")),
    ("/plot.js", JS, include_str!("plot.js")),
    ("/picture.js", JS, include_str!("picture.js")),
    ("/overview.js", JS, include_str!("overview.js")),
    ("/sessions.js", JS, include_str!("sessions.js")),
    ("/statements.js", JS, include_str!("statements.js")),
    ("/policies.js", JS, include_str!("policies.js")),
    ("/route.js", JS, include_str!("route.js")),
];
