//! Python: an object for ASGI or WSGI, and the server among what the project requires.

use super::files::Files;
use super::{Guesses, Puzzle, Recipe, Run, Way};

/// An app's object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    kind: String,
    /// `module:name`
    name: String,
    is_asgi: bool,
}

/// Files that an app's object is looked for in.
const USUAL: [&str; 12] = [
    "main.py",
    "app.py",
    "asgi.py",
    "wsgi.py",
    "application.py",
    "server.py",
    "api.py",
    "app/main.py",
    "src/main.py",
    "src/app.py",
    "app/__init__.py",
    "api/main.py",
];

/// Frameworks by the class of their object, and whether that is ASGI's.
const CLASSES: [(&str, bool); 8] = [
    ("FastAPI", true),
    ("Starlette", true),
    ("Litestar", true),
    ("Quart", true),
    ("Sanic", true),
    ("Flask", false),
    ("Bottle", false),
    ("falcon.App", false),
];

/// Files that name what a project requires.
const REQUIRED: [&str; 7] = [
    "pyproject.toml",
    "requirements.txt",
    "requirements/base.txt",
    "requirements/production.txt",
    "requirements-prod.txt",
    "Pipfile",
    "setup.py",
];

pub(super) fn look(files: &Files) -> Guesses {
    let required: Vec<(&str, String)> = REQUIRED
        .iter()
        .filter(|name| files.has_file(name))
        .map(|name| (*name, files.text(name).to_lowercase()))
        .collect();
    let objects = if files.has_file("manage.py") { django(files) } else { found(files) };
    if objects.is_empty() {
        if required.is_empty() && !files.has_file("manage.py") {
            return Guesses::default();
        }
        let place = required.first().map_or("manage.py", |(name, _)| name);
        return Puzzle::new(
            format!("{place} is there, but no object of an app was found (`app = FastAPI()`, `app = Flask(__name__)`, …)"),
            "name the server as `command`: [\"uvicorn\", \"--uds\", \"{socket}\", \"MODULE:NAME\"] for ASGI, \
             [\"gunicorn\", \"--bind\", \"unix:{socket}\", \"MODULE:NAME\"] for WSGI",
        )
        .into();
    }
    let requires =
        |server: &str| required.iter().find(|(_, text)| names(text, server)).map(|(name, _)| *name);
    let mut recipes = Vec::new();
    for object in &objects {
        for server in ["uvicorn", "hypercorn", "gunicorn", "daphne"] {
            let by_fastapi = server == "uvicorn"
                && required
                    .iter()
                    .any(|(_, text)| text.contains("fastapi[standard]") || text.contains("fastapi[all]"));
            let Some(source) = requires(server).or_else(|| by_fastapi.then_some("fastapi[standard]")) else {
                continue;
            };
            recipes.extend(recipe(object, server, source, files));
        }
    }
    if recipes.is_empty() {
        let object = &objects[0];
        let server = if object.is_asgi { "uvicorn" } else { "gunicorn" };
        let words = recipe(object, server, "", files)
            .map(|recipe| format!("{:?}", words(&recipe)))
            .unwrap_or_default();
        return Puzzle::new(
            format!("this is {}, but no server for production is among what it requires", object.kind),
            format!("pip install {server}, name it in the requirements, and run init again; or `command = {words}`"),
        )
        .into();
    }
    Guesses { recipes, ..Guesses::default() }
}

fn words(recipe: &Recipe) -> Vec<String> {
    match &recipe.run {
        Run::Command(words) => words.clone(),
        Run::Script { .. } => Vec::new(),
    }
}

/// Whether a file of requirements names a package, as a whole word.
fn names(text: &str, package: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    code.flat_map(|line| line.split(|c| !part(c))).any(|word| word == package)
}

/// A server that is told to listen on the socket.
fn recipe(object: &Object, server: &str, source: &str, files: &Files) -> Option<Recipe> {
    let venv = [".venv/bin", "venv/bin"].into_iter().find(|folder| files.has(&format!("{folder}/{server}")));
    let program = venv.map_or_else(|| server.to_owned(), |folder| format!("{{release}}/{folder}/{server}"));
    let words: &[&str] = match (server, object.is_asgi) {
        ("uvicorn", true) => &["--uds", "{socket}"],
        ("hypercorn", true) | ("gunicorn", false) => &["--bind", "unix:{socket}"],
        ("daphne", true) => &["-u", "{socket}"],
        _ => return None,
    };
    let words = std::iter::once(program.as_str()).chain(words.iter().copied()).chain([object.name.as_str()]);
    let run = Run::Command(words.map(str::to_owned).collect());
    let recipe =
        Recipe::new(&format!("{} by {server}", object.kind), format!("{server} in {source}"), run, Way::Told);
    Some(if venv.is_some() {
        recipe
    } else {
        recipe.note(format!("{server} has to be in the service's PATH; a virtual environment's is named like `{{release}}/.venv/bin/{server}`"))
    })
}

/// The objects of a Django project: the folder of its settings has asgi.py, wsgi.py or both.
fn django(files: &Files) -> Vec<Object> {
    let text = files.text("manage.py");
    let settings = text.split_once("DJANGO_SETTINGS_MODULE").and_then(|(_, rest)| {
        rest.split(['"', '\''])
            .find(|part| part.contains("settings") && !part.contains(' '))
            .map(str::to_owned)
    });
    let Some(settings) = settings else { return Vec::new() };
    let project = settings.split(".settings").next().unwrap_or(&settings).to_owned();
    let project = if project == "config" || files.has(&project.replace('.', "/")) {
        project
    } else {
        return Vec::new();
    };
    let object = |file: &str, is_asgi| {
        let path = format!("{}/{file}.py", project.replace('.', "/"));
        files.has_file(&path).then(|| Object {
            kind: "Django".into(),
            name: format!("{project}.{file}:application"),
            is_asgi,
        })
    };
    [object("wsgi", false), object("asgi", true)].into_iter().flatten().collect()
}

/// The objects in files of usual names.
fn found(files: &Files) -> Vec<Object> {
    let mut objects = Vec::new();
    for file in USUAL {
        let text = files.text(file);
        for (class, is_asgi) in CLASSES {
            let object = text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                let (name, value) = (name.split(':').next()?.trim(), value.trim_start());
                let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
                let value = value
                    .rsplit_once(&format!("{class}("))
                    .filter(|(before, _)| before.is_empty() || before.ends_with('.'))?;
                (plain && !line.starts_with(char::is_whitespace) && !value.0.contains('('))
                    .then(|| name.to_owned())
            });
            if let Some(name) = object {
                let module = file.trim_end_matches(".py").trim_end_matches("/__init__").replace('/', ".");
                let kind = class.split('.').next().unwrap_or(class).to_owned();
                objects.push(Object { kind, name: format!("{module}:{name}"), is_asgi });
            }
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_whole_words() {
        assert!(
            names("gunicorn==20.1", "gunicorn")
                && names("dependencies = [\"uvicorn[standard]>=0.3\"]", "uvicorn")
        );
        assert!(
            !names("# gunicorn\npytest-gunicorn\nuvicorn_x", "gunicorn")
                && !names("uvicorn-worker", "uvicorn")
        );
    }
}
