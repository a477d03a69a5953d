//! Frameworks for Node whose server is built, and listens deep inside: they are served by `nodesockd/register`.

use super::files::Files;
use super::line;
use super::{Guesses, Puzzle, REGISTER, Recipe, Run, Way};

/// What a framework makes of a folder, if it is the one.
type Look = fn(&Files) -> Option<Guesses>;

/// All of them; the first one that knows the folder counts.
const ALL: [Look; 8] = [next, nuxt, sveltekit, nest, adonis, astro, react_router, nitro];

pub(super) fn look(files: &Files) -> Option<Guesses> {
    ALL.iter().find_map(|look| look(files))
}

/// A script that a build makes.
fn built(kind: &str, source: impl Into<String>, script: &str, files: &Files) -> Recipe {
    let recipe = Recipe::new(kind, source, Run::registered(script), Way::Register);
    if files.has_file(script) { recipe } else { recipe.note(format!("{script} is made by `npm run build`")) }
}

/// The words of the line that starts it, wrappers taken off.
fn starts_with(files: &Files, program: &str) -> bool {
    let start = files.script("start").and_then(|line| line::resolve(line, "`start`", files).ok());
    start.is_some_and(|start| start.words[0] == program)
}

const NEXT: [&str; 4] = ["next.config.ts", "next.config.mjs", "next.config.js", "next.config.cjs"];

/// <https://nextjs.org/docs/app/api-reference/config/next-config-js/output>
fn next(files: &Files) -> Option<Guesses> {
    if !files.depends("next") || (files.script("start").is_some() && !starts_with(files, "next")) {
        return own_server(files, "next", ".next/standalone/server.js");
    }
    let (name, config) = files.first(&NEXT).unwrap_or(("next.config.js", String::new()));
    let output = said(&config, "output");
    if output.as_deref() == Some("export") {
        let found =
            format!("`output: \"export\"` in {name}: Next.js makes files, and there is nothing to supervise");
        return Some(Puzzle::new(found, "let nginx serve the folder `out` (`root`)").into());
    }
    if output.as_deref() == Some("standalone") {
        let source = format!("`output: \"standalone\"` in {name}");
        let recipe = built("Next.js, built to stand alone", source, ".next/standalone/server.js", files);
        return Some(
            recipe
                .note(
                    "copy `public` and `.next/static` into `.next/standalone` after a build, as Next.js says",
                )
                .into(),
        );
    }
    let words = ["node", REGISTER[0], REGISTER[1], "node_modules/next/dist/bin/next", "start"];
    let recipe = Recipe::new("Next.js", "`next` in package.json", Run::command(&words), Way::Register);
    Some(
        recipe
            .note("`next start` serves what `npm run build` has made")
            .note(format!(
                "with `output: \"standalone\"` in {name} a release needs no node_modules: run init again then"
            ))
            .into(),
    )
}

/// A server of one's own that needs no build, or the standalone one by its name.
fn own_server(files: &Files, dependency: &str, script: &str) -> Option<Guesses> {
    let line = files.script("start").filter(|_| files.depends(dependency))?;
    line.contains(script)
        .then(|| built("Next.js, built to stand alone", "`start` in package.json", script, files).into())
}

fn nuxt(files: &Files) -> Option<Guesses> {
    let found = files.depends("nuxt") || files.depends("nuxt-nightly");
    found.then(|| built("Nuxt", "`nuxt` in package.json", ".output/server/index.mjs", files).into())
}

fn sveltekit(files: &Files) -> Option<Guesses> {
    if !files.depends("@sveltejs/kit") {
        return None;
    }
    let (name, config) =
        files.first(&["svelte.config.js", "svelte.config.ts"]).unwrap_or(("svelte.config.js", String::new()));
    if config.contains("adapter-node") {
        let folder = said(&config, "out").unwrap_or_else(|| "build".to_owned());
        let source = format!("adapter-node in {name}");
        return Some(built("SvelteKit", source, &format!("{folder}/index.js"), files).into());
    }
    let found = format!("{name} has no adapter for a server of Node");
    Some(
        Puzzle::new(
            found,
            "npm install --save-dev @sveltejs/adapter-node, name it there, and run init again",
        )
        .into(),
    )
}

/// <https://docs.nestjs.com/deployment>
fn nest(files: &Files) -> Option<Guesses> {
    if !files.depends("@nestjs/core") {
        return None;
    }
    let named = files.script("start:prod").and_then(|line| line::resolve(line, "`start:prod`", files).ok());
    let named = named.filter(|start| start.words[0] == "node").and_then(|start| start.words.last().cloned());
    let (script, source) = match named {
        Some(script) if script.ends_with(".js") => (script, "`start:prod` in package.json"),
        Some(script) => (format!("{script}.js"), "`start:prod` in package.json"),
        None => ("dist/main.js".to_owned(), "`@nestjs/core` in package.json"),
    };
    Some(built("Nest", source, script.trim_start_matches("./"), files).into())
}

/// <https://docs.adonisjs.com/guides/getting-started/deployment>
fn adonis(files: &Files) -> Option<Guesses> {
    files.depends("@adonisjs/core").then(|| {
        let recipe = built("AdonisJS", "`@adonisjs/core` in package.json", "build/bin/server.js", files);
        recipe.note("a build reads `.env` in `build`: copy it there, or name it as `envFile`").into()
    })
}

fn astro(files: &Files) -> Option<Guesses> {
    if !files.depends("astro") {
        return None;
    }
    let (name, config) = files
        .first(&["astro.config.mjs", "astro.config.ts", "astro.config.js"])
        .unwrap_or(("astro.config.mjs", String::new()));
    if config.contains("@astrojs/node") && said(&config, "mode").as_deref() == Some("standalone") {
        let source = format!("@astrojs/node in {name}");
        return Some(built("Astro", source, "dist/server/entry.mjs", files).into());
    }
    let found = format!("{name} has no server of its own: Astro makes files, or a handler");
    Some(
        Puzzle::new(
            found,
            "for files let nginx serve `dist` (`root`); for a server add `@astrojs/node` with `mode: 'standalone'`, and run init again",
        )
        .into(),
    )
}

/// React Router, and Remix before it, by the server that they bring.
fn react_router(files: &Files) -> Option<Guesses> {
    let (package, bin) = [("@react-router/serve", "react-router-serve"), ("@remix-run/serve", "remix-serve")]
        .into_iter()
        .find(|(package, bin)| files.depends(package) && starts_with(files, bin))?;
    let start = line::resolve(files.script("start")?, "`start`", files).ok()?;
    let bin = format!("node_modules/.bin/{bin}");
    let words: Vec<String> = ["node", REGISTER[0], REGISTER[1], &bin]
        .map(str::to_owned)
        .into_iter()
        .chain(start.words[1..].iter().cloned())
        .collect();
    let recipe = Recipe::new(
        "React Router",
        format!("`{package}` in package.json"),
        Run::Command(words),
        Way::Register,
    );
    Some(
        recipe
            .note("pnpm makes a shell script of that name: with pnpm, name the package's own script")
            .into(),
    )
}

/// Nitro, and frameworks upon it: `SolidStart`, `TanStack` Start, Analog.
fn nitro(files: &Files) -> Option<Guesses> {
    let name = ["nitropack", "nitro", "vinxi", "@solidjs/start", "@analogjs/platform"]
        .into_iter()
        .find(|name| files.depends(name))?;
    Some(built("Nitro", format!("`{name}` in package.json"), ".output/server/index.mjs", files).into())
}

/// What a configuration in JavaScript says as a string, as far as it is plain: `key: 'value'`.
fn said(config: &str, key: &str) -> Option<String> {
    let code = config.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.filter_map(|line| {
        let (before, after) =
            line.split_once(&format!("{key}:")).or_else(|| line.split_once(&format!("{key} =")))?;
        if before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        let value = after.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
        value[1..].split_once(quote).map(|(value, _)| value.to_owned())
    })
    .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_read_from_code() {
        assert_eq!(said("const a = { output: 'standalone' }", "output").as_deref(), Some("standalone"));
        assert_eq!(
            said("  // output: 'export'\n  myoutput: 'x',\n output: \"y\"", "output").as_deref(),
            Some("y")
        );
        assert_eq!(said("output: process.env.A", "output"), None);
    }
}
