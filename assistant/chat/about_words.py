"""The words by which people ask about the model they talk to and the computer below it. Pure.

English, German, French and Spanish. Patterns are written without accents and capitals, as
`folded` leaves a text, and hold for a clause from its first word to its last.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

AboutTopic = Literal["model", "memory", "bigger", "run", "gpu", "context", "speed", "private"]

MOST_CHARACTERS: Final = 240
_THING: Final = r"(?:you|this model|the model|it)"
_COMPUTER: Final = r"(?:computer|machine|pc|laptop|card|gpu)"
_RECHNER: Final = r"(?:rechner|computer|pc|laptop|grafikkarte|karte|gpu)"
_NAME: Final = (
    r"(?:(?:llama|codellama|tinyllama|qwen|qwq|gemma|mistral|mixtral|ministral|magistral|devstral"
    r"|codestral|phi|deepseek|gpt-oss|smollm|granite|command-r|olmo|falcon|starcoder|nemotron"
    r"|hermes|glm)[\w./-]*(?::[\w.-]+)?(?: \d+(?:\.\d+)?b)?"
    r"|[a-z][\w./-]*:(?:\d+x)?\d+(?:\.\d+)?[bm][\w.-]*)"
)
_MINE: Final = (
    r"(?:anything|something|any of (?:this|it)|any data|data|this|this (?:chat|conversation)"
    r"|my (?:data|messages|questions|words|text|prompts?|files?|chats?|conversations?)"
    r"|what i (?:write|type|say|ask))"
)
_NET: Final = r"(?:the )?(?:internet|web|cloud|net|network|anyone|anybody|anywhere)(?: else)?"
_PEUX: Final = (
    r"(?:puis[- ]je|pourrais[- ]je|(?:est[- ]ce que )?je (?:peux|pourrais)|peut[- ]on)"
    r" (?:faire tourner|utiliser|executer|lancer|charger)"
)
_PUEDO: Final = r"(?:puedo|podria|se puede) (?:ejecutar|usar|correr|utilizar|cargar)"
_LAUFEN: Final = (
    r"(?: (?:laufen lassen|ausfuhren|benutzen|verwenden|nutzen|betreiben|starten|laden))?"
)
_PATTERNS: Final[tuple[tuple[AboutTopic, tuple[str, ...]], ...]] = (
    ("model", (
        r"(?:what|which) (?:language |ai |llm )?(?:model|llm) (?:are you|is this|is it|do you use"
        r"|(?:am i|are we) (?:talking|speaking|chatting) (?:to|with)"
        r"|is (?:running|loaded|answering)(?: here| now)?)",
        r"(?:what|which) (?:version|quanti[sz]ation|quant) (?:are you|do you use"
        r"|is this(?: model)?)",
        r"what(?:'s| is) your (?:model(?: name)?|quanti[sz]ation)",
        rf"how (?:big|large) (?:are you|is (?:this|the) model)|how many parameters (?:do you have"
        rf"|does {_THING} have|has {_THING})",
        r"(?:are you|do you run) (?:running )?(?:local(?:ly)?|on (?:my|this) (?:computer|machine|pc"
        r"|laptop))",
        r"(?:welches|was fur ein) (?:sprach|ki-)?modell (?:bist du|ist das|(?:be)?nutzt du"
        r"|verwendest du|lauft)|mit welchem modell (?:spreche|rede|chatte) ich",
        r"quel (?:modele|llm)(?: de langage)? (?:es[- ]tu|etes[- ]vous|utilises[- ]tu|est[- ]ce)"
        r"|(?:tu es|vous etes) quel modele|quel est (?:ton|votre) modele",
        r"(?:que|cual) modelo(?: de lenguaje)? (?:eres|es|es este|usas|utilizas)",
    )),
    ("memory", (
        r"(?:and )?how much (?:of my |more )?(?:memory|ram|vram|gpu memory|video memory) "
        rf"(?:do|does|are|is) {_THING} (?:us(?:e|ing)|tak(?:e|ing)(?: up)?|need(?:ing)?"
        r"|occupy(?:ing)?|consum(?:e|ing))",
        r"(?:are you|do you run|is this model)(?: running)? on (?:the |my )?(?:gpu|cpu"
        r"|graphics card)(?: or (?:the )?(?:cpu|gpu))?",
        r"(?:what|how much) is your memory (?:use|usage|footprint)",
        r"wie ?viel (?:arbeits|grafik|video)?(?:speicher|ram|vram) (?:(?:brauchst|benotigst|benutzt"
        r"|nutzt|verwendest|belegst|verbrauchst) du|(?:braucht|belegt|verbraucht) (?:das|dieses) "
        r"modell)|laufst du auf der (?:gpu|cpu|grafikkarte)(?: oder (?:auf )?der (?:cpu|gpu))?",
        r"(?:combien|quelle quantite) de (?:memoire|ram|vram)(?: video)? (?:utilises|consommes"
        r"|occupes|prends)[- ]tu|combien de (?:memoire|ram|vram)(?: video)? (?:est[- ]ce que )?"
        r"(?:tu (?:utilises|consommes|occupes|prends)|utilisez[- ]vous)",
        r"cuanta (?:memoria|ram|vram)(?: de video)? (?:usas|utilizas|consumes|ocupas|necesitas"
        r"|gastas|estas usando)",
    )),
    ("bigger", (
        rf"(?:could|can|would) (?:i|we|you|(?:this|my) {_COMPUTER}) "
        r"(?:also )?(?:run|use|load|handle|take|fit) (?:a |an |any |something )*(?:much |even )*"
        r"(?:bigger|larger|better|stronger|smarter)(?: (?:model|one|llm)s?)?",
        r"(?:would|does|will) a (?:bigger|larger|better) (?:model|one) (?:fit|run)",
        r"is there (?:a |any )*(?:bigger|larger|better) (?:model|one) (?:that |which )?(?:i|we|"
        r"would|could|can|fits|runs).{0,30}",
        rf"(?:kann|konnte) (?:ich|(?:mein|dieser|meine|diese) {_RECHNER}) (?:auch )?ein(?:e)? "
        rf"(?:noch )?(?:grosseres|besseres|starkeres)(?: modell)?{_LAUFEN}",
        r"(?:wurde|passt|lauft) (?:auch )?ein (?:grosseres|besseres) modell(?: passen| laufen)?",
        rf"{_PEUX} un (?:modele plus (?:grand|gros|puissant)|plus (?:grand|gros) modele)",
        rf"{_PUEDO} un modelo mas (?:grande|potente)",
    )),
    ("run", (
        rf"(?:could|can|would) (?:i|we|you|(?:this|my) {_COMPUTER}) (?:also )?(?:run|use|load"
        rf"|handle|fit) (?P<name>{_NAME})",
        rf"(?:does|will|would) (?P<name>{_NAME}) (?:fit|run|work)",
        rf"(?:kann|konnte) (?:ich|(?:mein|dieser) {_RECHNER}) (?:auch )?(?P<name>{_NAME}){_LAUFEN}",
        rf"(?:lauft|passt) (?P<name>{_NAME})",
        rf"{_PEUX} (?P<name>{_NAME})",
        rf"{_PUEDO} (?P<name>{_NAME})",
    )),
    ("gpu", (
        r"(?:what|which) (?:kind of )?(?:gpus?|graphics cards?|video card) (?:do (?:i|we|you) have"
        r"|have i(?: got)?|is (?:this|installed|in (?:this|my) computer)|am i (?:using|on)"
        r"|are you (?:using|on|running on)|does (?:this|my) (?:computer|machine|pc|laptop) have)",
        r"what(?:'s| is) my (?:gpu|graphics card)|do i have a (?:gpu|graphics card)",
        r"(?:welche|was fur eine) (?:gpu|grafikkarte) (?:hab(?:e)? ich|ist (?:eingebaut|verbaut))",
        r"quel(?:le)? (?:gpu|carte graphique) (?:ai[- ]je|j'ai|est[- ]ce que j'ai)"
        r"|j'ai quel(?:le)? (?:gpu|carte graphique)",
        r"que (?:gpu|tarjeta (?:grafica|de video)) tengo",
    )),
    ("context", (
        r"(?:what(?:'s| is)|how (?:long|large|big|much) is) (?:your|the) (?:maximum )?context"
        r"(?: (?:length|window|size|limit))?",
        r"how (?:long|large|big|much) (?:a |of a )?context(?: (?:length|window))? (?:do|can) you "
        r"(?:have|use|handle)",
        r"how many tokens (?:can|do) you (?:remember|read|hold|handle|take|see|have)(?: at once)?",
        r"how much (?:context|of this conversation) (?:can you (?:see|remember|hold)|is left)",
        r"wie (?:gross|lang) ist (?:dein|der|deine|die) kontext(?:fenster|lange|grosse)?"
        r"|welche kontext(?:lange|grosse) hast du|wie ?viel kontext hast du",
        r"(?:quelle est|c'est quoi) (?:la (?:taille|longueur) (?:de (?:ton|votre) contexte"
        r"|de (?:ta|votre) fenetre de contexte)|(?:ta|votre) fenetre de contexte)"
        r"|quel est (?:ton|votre) contexte",
        r"(?:cual es|de que tamano es) (?:el tamano de )?(?:tu|la) (?:ventana de )?contexto"
        r"|(?:que|cuanto) contexto tienes",
    )),
    ("speed", (
        r"how (?:fast|quick) (?:are you|is (?:this|the) model|do you (?:write|answer|run|generate))"
        r"(?: running)?|(?:what(?:'s| is) your|at what) speed(?: do you (?:write|answer|run))?",
        r"how many tokens (?:per|a|each) second (?:do you|can you|are you) \w+(?: \w+)?",
        r"wie schnell (?:bist du|ist (?:das|dieses) modell|(?:schreibst|antwortest) du)",
        r"(?:quelle est (?:ta|votre) vitesse|a quelle vitesse (?:ecris|reponds|generes|vas|tournes)"
        r"[- ]tu|(?:es[- ]tu|etes[- ]vous|tu es) rapide)",
        r"(?:que tan|como de|cuan) rapido (?:eres|es este modelo)|(?:cual es tu|que) velocidad"
        r"(?: tienes)?",
    )),
    ("private", (
        rf"(?:is|are|will|does|do) {_MINE} (?:be |being |get )?(?:sent|uploaded|shared|transmitted"
        rf"|go|going)(?: out)? (?:to|over|on|onto|through|with|into) {_NET}",
        rf"(?:is|are|will|does|do) {_MINE} (?:leave|leaving) (?:this|my) (?:computer|machine|pc"
        r"|laptop|network)",
        rf"(?:do|will) you (?:send|upload|share) {_MINE} (?:to|over|on|with) {_NET}"
        r"|is this (?:chat|conversation) private|are you connected to the internet",
        r"(?:wird|werden) (?:etwas|irgendetwas|irgendwas|was|(?:meine )?(?:daten|fragen"
        r"|nachrichten|eingaben)) (?:ins|in das|an das|uber das|in die) (?:internet|netz|cloud) "
        r"(?:gesendet|geschickt|ubertragen|verschickt)",
        r"(?:sendest|schickst) du (?:etwas|irgendetwas|irgendwas|was|(?:meine )?daten) (?:ins"
        r"|an das|in die) (?:internet|netz|cloud)|verlassen (?:meine )?daten (?:diesen|meinen) "
        r"(?:rechner|computer|pc|laptop)",
        r"(?:est[- ]ce que )?(?:quelque chose|(?:mes|des) (?:donnees|messages|questions)) "
        r"(?:est|sont)(?:[- ](?:il|elles|ils))? (?:envoye|transmis)(?:e|s|es)? "
        r"(?:sur|a|vers|par) (?:l'|le )?(?:internet|cloud)",
        r"(?:envoies[- ]tu|est[- ]ce que tu envoies) (?:quelque chose|(?:mes|des) donnees) "
        r"(?:sur|a|vers) (?:l'|le )?(?:internet|cloud)",
        r"(?:se )?(?:envia|manda|envian|mandan|envias|mandas) (?:algo|(?:mis )?(?:datos|mensajes))"
        r" (?:a|por) (?:la )?(?:internet|nube|red)",
    )),
)  # fmt: skip
_ASKS: Final = tuple(
    (topic, tuple(re.compile(pattern) for pattern in patterns)) for topic, patterns in _PATTERNS
)
_CLAUSES: Final = re.compile(
    r"\.+(?!\w)|[?!;,\n\u00bf\u00a1]+|\b(?:and|also|und|ausserdem|et|aussi|y|tambien)\b"
)
_FILLER: Final = (
    rf"(?:hi|hello|hey|ok|okay|so|then|please|thanks|thank you|right now|now|currently|here|there"
    rf"|by the way|btw|tell me|exactly|actually|really|on (?:this|my) {_COMPUTER}|at the moment"
    rf"|hallo|bitte|danke|gerade|jetzt|eigentlich|hier|auf (?:diesem|meinem|meiner) {_RECHNER}"
    r"|bonjour|salut|merci|s'il (?:te|vous) plait|ici|maintenant|actuellement|en ce moment"
    r"|sur (?:cet|mon|cette|ma) (?:ordinateur|machine|pc|carte)"
    r"|hola|por favor|gracias|aqui|ahora|en (?:este|mi) (?:ordenador|computadora|equipo|pc))"
)
_FILLER_FIRST: Final = re.compile(rf"^{_FILLER}\b\s*")
_FILLER_LAST: Final = re.compile(rf"\s*\b{_FILLER}$")


def about_topics(text: str) -> tuple[AboutTopic, ...]:
    """Return what of the model and its machine a message asks about, in the order of the table."""
    if len(text) > MOST_CHARACTERS or "```" in text:
        return ()
    found = {topic for clause in _clauses(text) for topic in _topics_of(clause)}
    return tuple(topic for topic, _ in _ASKS if topic in found)


def is_only_about(text: str) -> bool:
    """Return True when a message asks about nothing else, so that it needs no model to answer."""
    if not about_topics(text):
        return False
    return all(_topics_of(clause) or not _without_filler(clause) for clause in _clauses(text))


def models_asked_about(text: str) -> tuple[str, ...]:
    """Return the models that a message asks to run, as they are written but in small letters."""
    if "run" not in about_topics(text):
        return ()
    patterns = dict(_ASKS)["run"]
    found = (p.fullmatch(_without_filler(c)) for c in _clauses(text) for p in patterns)
    return tuple(dict.fromkeys(match["name"] for match in found if match))


def folded(text: str) -> str:
    """Return a text in small letters and without accents: `Größe` is `grosse`."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("\u2019", "'"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _clauses(text: str) -> list[str]:
    return [clause.strip() for clause in _CLAUSES.split(folded(text)) if clause.strip()]


def _topics_of(clause: str) -> list[AboutTopic]:
    """Return the topics that a clause asks about, from its first word to its last."""
    words = _without_filler(clause)
    return [topic for topic, asks in _ASKS if any(ask.fullmatch(words) for ask in asks)]


def _without_filler(clause: str) -> str:
    """Return a clause without the words of politeness and place at its ends."""
    words = " ".join(clause.split())
    while True:
        shorter = _FILLER_LAST.sub("", _FILLER_FIRST.sub("", words))
        if shorter == words:
            return words
        words = shorter
