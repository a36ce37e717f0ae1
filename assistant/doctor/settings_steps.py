"""How a person sets a variable for the server, which depends on how the server is started.

Ollama's own instructions (docs/faq.md, "How do I configure Ollama server?").
"""

from __future__ import annotations

from assistant.doctor.records import Observations


def steps_to_set(seen: Observations, name: str, value: str) -> str:
    """Return the commands that give the server a variable, one a line."""
    platform = seen.server.platform
    if platform == "darwin":
        return f"launchctl setenv {name} {value}\nthen quit and open the Ollama application"
    if platform == "win32":
        return f"setx {name} {value}\nthen quit Ollama in the task bar and start it again"
    if seen.server.is_service:
        return (
            "sudo systemctl edit ollama\n"
            f'add the lines: [Service] and Environment="{name}={value}"\n'
            "sudo systemctl restart ollama"
        )
    return f"stop the server, then: {name}={value} ollama serve"


def steps_to_unset(seen: Observations, name: str) -> str:
    """Return the commands that take a variable away from the server, one a line."""
    platform = seen.server.platform
    if platform == "darwin":
        return f"launchctl unsetenv {name}\nthen quit and open the Ollama application"
    if platform == "win32":
        return (
            f"remove {name} from the environment variables of your account\n"
            "then quit Ollama in the task bar and start it again"
        )
    if seen.server.is_service:
        return (
            "sudo systemctl edit ollama\n"
            f"remove the line with {name}\n"
            "sudo systemctl restart ollama"
        )
    return f"stop the server, then: env -u {name} ollama serve"


def steps_to_restart(seen: Observations) -> str:
    """Return how the server is started again."""
    if seen.server.platform in ("darwin", "win32"):
        return "quit Ollama and start it again"
    if seen.server.is_service:
        return "sudo systemctl restart ollama"
    return "stop the server, then: ollama serve"
