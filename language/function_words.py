"""Words that carry no topic, and words of questions that tell nothing about theirs."""

from __future__ import annotations

from collections.abc import Mapping

_ENGLISH = """
a about above after again against ain all also am an and any are aren as at be because been before being below between both but by can
cannot could couldn d did didn do does doesn doing don done down during each either else ever every few for from further get gets
getting give given go goes going gone got had hadn has hasn have haven having he her here hers herself him himself his how i if in into
is isn it its itself just let ll m many may me might more most much must my myself neither no nor not of off on once one only onto or
other our ours ourselves out over own per please re s same shall she should shouldn since so some such t than that the their theirs them
themselves then there these they this those through to too under until up upon us ve very was wasn we were weren what whatever when
where whether which while who whom whose why will with within without won would wouldn yet you your yours yourself yourselves
"""
_GERMAN = """
ab aber alle allem allen aller alles als also am an andere anderem anderen anderer anderes auch auf aus bei beim bin bis bist bitte da
dabei dadurch dafür daher damit danach dann daran darauf daraus darf darum darüber das dass davon dazu dein deine dem den denn der deren
des dessen dich die dies diese diesem diesen dieser dieses dir doch dort du durch dürfen ein eine einem einen einer eines einige einigen
er es etwas euch euer eure falls für gab gegen gibt haben hab habe hat hatte hatten hier hin ich ihm ihn ihnen ihr ihre ihrem ihren
ihrer ihres im in indem ins ist ja jede jedem jeden jeder jedes jene jetzt kann kannst kein keine keinem keinen keiner können könnte
man manche mehr mein meine mich mir mit muss musst müssen nach nachdem nein nicht nichts noch nun nur ob oder ohne pro sehr sein seine
seinem seinen seiner seit sich sie sind so solche soll sollen sollte sondern sonst soweit sowie um und uns unser unsere unter vom von
vor wann war waren warum was weil welche welchem welchen welcher welches wem wen wenn wer werde werden wessen weshalb wie wieder wieso
will wir wird wo wofür woher wohin worden wurde wurden während würde würden zu zum zur zwar zwischen über
"""
_GENERIC = """
according association attached attachment board came come committee company council described did do does document documents done
everything file files find get gets give goes got had happen happened has have important item items key know list main make made meeting
mentioned minutes need own owns paper please protocol report responsible said say says show take taken team tell text want went what which
ausschuss bericht bitte datei dokument firma gemeinderat laut liste nenne protokoll rat sitzung text verein vorstand was welche welcher
welches wichtig wichtigsten wurde wurden zeige
"""

GENERIC: frozenset[str] = frozenset(_GENERIC.split())
"""Words that questions about any document may have."""
FUNCTION_WORDS: Mapping[str, frozenset[str]] = {"en": frozenset(_ENGLISH.split()), "de": frozenset(_GERMAN.split())}
"""By language: articles, pronouns, prepositions, auxiliary verbs."""
