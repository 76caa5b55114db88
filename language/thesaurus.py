"""Words that people use for each other in questions about documents, in English and German."""

from __future__ import annotations

_GROUPS = """
cost costs price amount expense expensive cheap fee charge pay paid payment budget kosten preis teuer teuersten teuerste betrag gebühr ausgaben zahlen kostet
revenue turnover sales total income sold sell umsatz erlös einnahmen
profit earnings gain gewinn ergebnis
begin start launch open anfang beginn beginnen starten anfangen
end finish stop close complete ende enden abschluss abschließen schließen fertig
decide decision agree agreed resolve resolved approve approved vote adopt beschluss beschließen beschlossen entscheiden entscheidung
responsible owner lead charge assigned accountable zuständig verantwortlich verantwortung leitung
repair fix mend restore reparatur reparieren instandsetzung beheben
cause reason because root trigger ursache grund auslöser weil
attend present participate attendance anwesend teilnehmen teilgenommen teilnehmer
absent apologies excused abwesend entschuldigt
deadline due until date frist termin bis fällig
risk danger threat hazard concern worry fear objection risiko risiken gefahr bedenken befürchten befürchtet sorge einwand
rent lease tenancy miete mietvertrag
terminate cancel quit notice kündigen kündigung
pet pets animal animals dog dogs cat cats haustier haustiere hund hunde katze tiere
staff employees headcount personnel people workforce mitarbeiter personal beschäftigte
increase grow growth rise rose raise higher steigen gestiegen erhöhen wachstum zunahme
decrease fall fell decline drop lower reduce sinken gesunken senken rückgang
home remote telework homeoffice mobil
customer client kunde kunden auftraggeber
duty shift watch call dienst schicht bereitschaft
discover notice noticed find found detect entdecken bemerken feststellen
meeting session sitzung besprechung versammlung treffen
next following nächste nächster nächsten folgende
buy purchase acquire order kaufen anschaffung beschaffung erwerben
replace exchange renew ersetzen austausch erneuern
delay late postponed behind verzug verzögerung verspätung verschoben
money funds funding grant geld mittel zuschuss förderung
deposit security kaution sicherheit
house flat apartment home premises haus wohnung
car vehicle parking auto fahrzeug parken stellplatz
noise quiet silence lärm ruhe ruhezeit
chair chairman chairwoman chairperson president head vorsitz vorsitzende vorsitzender leiter leiterin
treasurer cashier finance kassenwart kassierer schatzmeister kasse
plan planned intend schedule planen geplant vorhaben
arrive receive deliver reach come eintreffen ankommen erhalten
work works employ employed job arbeiten arbeitet beschäftigt
problem issue trouble fault failure error störung fehler mangel problem
happen occur event ereignis passieren geschehen
test trial exercise check inspection prüfung probe kontrolle
allow allowed permit permitted may erlauben erlaubt gestattet dürfen
forbid forbidden prohibit prohibited verboten untersagt
number count many total anzahl zahl summe insgesamt
long duration last lasted dauer dauern dauerte
place location venue held ort raum
suggest propose proposal recommend recommendation vorschlag vorschlagen empfehlen empfehlung
member members mitglied mitglieder
contract agreement vertrag vereinbarung
company firm contractor supplier firma unternehmen lieferant anbieter auftragnehmer
pay salary wage gehalt lohn
holiday leave vacation urlaub ferien
month monthly months monat monatlich monate
year yearly years jahr jährlich jahre
save saving savings sparen sparplan sparrate
simulate simulation simulieren simuliere
garbage rubbish waste bin müll abfall
"""

SYNONYMS: tuple[frozenset[str], ...] = tuple(frozenset(line.split()) for line in _GROUPS.strip().splitlines())
"""Each group means about the same."""
