"""Why a server waits or failed, in a sentence, and what to do."""
