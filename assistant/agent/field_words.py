"""Words that say nothing by themselves: terms of the field, and words that open sentences."""

from __future__ import annotations

from typing import Final

FIELD_WORDS: Final = frozenset(
    """
    api apple amd ai arm ascii bf cli cpu cpus cuda ddr english fp gb gguf gib github gpu gpus
    hdd html i intel io json kv linux llm llms lora mac macos markdown mb mib metal ml moe nlp
    nvidia nvme ok ollama os pc pdf pci pcie python rag ram rocm sdk sql ssd tb tps ui url usb
    vram vulkan windows wsl yaml modelfile tokens token context cache weights driver
    quantization quantized quantised parameters parameter memory model models licence license
    download embedding embeddings chat code coding vision tools speed quality size card cards
    laptop desktop runs running alone fast faster fastest slow slower read reads loaded stays
    leaves free needs needed enough answer answers question computer machine system layer layers
    layer buffer buffers sources note assumed next why
    """.split()
)
COMMON_STARTS: Final = frozenset(
    """
    a about above according after all also alternatively although among an and another any are
    as at based be because been before below best better between both but by can choose compared
    consequently consider could currently depending despite did do does due during each either
    else especially even every everything expect few finally first following for from further
    furthermore generally given go good has have having hence here how however if important in
    indeed instead is it it's its it'll just keep last later least less let like likely long
    longer make many may means meanwhile memory might more moreover most much my need neither
    nevertheless new next no none nor not nothing now of offload on once one only or other
    others otherwise our out over overall partly per perhaps please plus probably put rather
    really right run running same second see select set several should shorter similarly simply
    since small smaller so some sometimes sorry still such sure take than that that's the their
    them then there there's therefore these they third this those though thus to together too
    try two under unfortunately unless until up use using usually very was we well were what
    when where whether which while who whole will with within without would yes yet you you'll
    you're you've your they're we're i'm i'd i'll isn't doesn't don't can't won't below everyone
    anyone nobody someone
    """.split()
)
