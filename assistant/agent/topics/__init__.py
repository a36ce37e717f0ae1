"""How each kind of question is answered: which tools are called, and which composer writes."""
