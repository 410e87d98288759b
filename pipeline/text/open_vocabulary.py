"""Opens the vocabulary of a checkpoint, whichever of the three kinds its file is."""

from pipeline.text.sentencepiece_vocabulary import SentencePieceVocabulary
from pipeline.text.tekken_vocabulary import TekkenVocabulary
from pipeline.text.tokenizer_files import TokenizerFiles
from pipeline.text.tokenizers_vocabulary import TokenizersVocabulary
from pipeline.text.vocabulary import Vocabulary


def open_vocabulary(files: TokenizerFiles) -> Vocabulary:
    """ConfigError if the file is not what its name says."""
    if files.kind == "sentencepiece":
        return SentencePieceVocabulary(files)
    return TekkenVocabulary(files) if files.kind == "tekken" else TokenizersVocabulary(files)
