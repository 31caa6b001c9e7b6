# Sourced by the commands beside this folder. Sets `root` and `hadal_python`, and offers `set_up COMMAND [arguments]`,
# which makes the environments that the command needs and is done in a moment where they are there.

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
hadal_python="$root/.venv/bin/python"

fitting_python() {
  local candidate
  for candidate in "$hadal_python" python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

set_up() {
  local python
  if python=$(fitting_python); then
    (cd "$root" && exec "$python" -S -m scripts.setup "$@") || exit
  elif command -v uv >/dev/null; then
    (cd "$root" && exec uv run --quiet --no-project --python '>=3.11' python -m scripts.setup "$@") || exit
  else
    echo "set-up failed: no Python 3.11 or later is on PATH, and no uv. Install python3 (3.11 or later) with" \
      "python3-venv, or uv (https://docs.astral.sh/uv/), which brings a Python along, and run this again." >&2
    exit 2
  fi
}
