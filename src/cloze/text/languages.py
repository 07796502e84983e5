"""Uses of the full stop in a language: abbreviations, ordinal numbers, initials.

The lists are our own, of what newspapers, encyclopaedias and novels abbreviate, without words that are common (English
"sat.", German "am.").
"""

import re
from dataclasses import dataclass, replace


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


@dataclass(frozen=True, kw_only=True)
class Language:
    """How sentences of a language are distinguished from abbreviations.

    Attributes:
        titles: in lower case; always followed by the name they belong to, so never the end of a sentence.
        before_numbers: in lower case; part of the sentence when a number follows.
        abbreviations: in lower case; part of the sentence whatever follows, unless it is a word that opens sentences.
        openers: words that begin a sentence far more often than they continue with an abbreviation as part of a name.
        never_last: in lower case; abbreviations of two words that introduce something, so never the end.
        before_house_numbers: in lower case; ends of words that are part of the sentence when a number follows.
        ordinals: whether "3." is "third", so that it does not end a sentence before another word.
        goes_on: what, after a mark and the quotation mark that closes behind it, shows that the sentence continues: who
            spoke, where no small letter tells.
        marks: whether sentences end with marks; in Thai a space is all there is.
    """

    titles: frozenset[str] = frozenset()
    before_numbers: frozenset[str] = frozenset()
    abbreviations: frozenset[str] = frozenset()
    openers: frozenset[str] = frozenset()
    never_last: tuple[str, ...] = ()
    before_house_numbers: tuple[str, ...] = ()
    ordinals: bool = False
    goes_on: re.Pattern[str] | None = None
    marks: bool = True


EN = Language(
    titles=_words(
        "adm brig capt cdr cmdr col cpl dr fr ft gen gov hon lieut lt maj messrs mlle mme mmes mr mrs ms msgr mt mx",
        "ofc pres prof rep reps rev rt sen sens sgt sra srta st ste sts supt",
    ),
    before_numbers=_words(
        "app art bk ca cap ch chap cl cols deg ed eds eq eqs exod fig figs fol iss lev ll matt nn no nos nr op p para",
        "pp pt ref refs rom rs sec secs sect tab vol vols vs",
    ),
    # No common words (sat, lit, cent).
    abbreviations=_words(
        "abbr al alt anon approx apr assn assoc aug ave bibl bldg blvd bros c cf cie co comp conf corp dec dep dept",
        "dist div e.g eg esp esq est etc excl feb fl fri geo hist i.e ie illus inc incl inst jan jas jos jr jul jun",
        "kg km ltd mar misc mss n.b nat nov obs oct orig ph.d phil proc pseud publ quot r.i.p rd reg resp sep sept",
        "seq ser sq sr suppl thos thu thur thurs trans tue tues univ v var vers viz vs wm",
    ),
    openers=_words(
        "A After All Although An And Another As At Because Both But By Do Does For From Had Has Have He Her Here His",
        "How However I If In Is It Its Let Many Most My No Not Now Of On One Or Our Perhaps She Since So Some Such",
        "That The Their Then There These They This Those Thus To Two Was We Were What When Where Whether Which While",
        "Who Why With Would Yes Yet You Your",
    ),
)

LATIN = _words("al bros co corp inc jr ltd")
"""In what is written in many languages: et al., and the names of companies."""

DE = Language(
    titles=_words(
        "abg adm dipl dr fr frl gebr hd hl hptm hr hrn hrsg ing kgl mag maj med mr mrs obdt oblt phil prof rer sr st",
        "stud tel",
    ),
    before_numbers=_words(
        "abb abs abschn anm art aufl bd bde bl ca cap erg fig fn ggf hs jg kap lfd nr nrn par pos ps rn rz s sp tab",
        "taf tel tz vers vol z ziff",
    ),
    abbreviations=_words(
        "a abk abt adr ahd akad allg amtl angebl anh anl ao ausg b bearb begr beisp bes betr bez bfn bgm bhf",
        "bsp bspw btr bzgl bzw c ca cf chr co corp d d.h dat ders desgl dez dgl di dienst dim dipl ebd eg ehem",
        "eigtl einschl empf engl entspr erw etc ev evtl ex exkl f feb febr ff fr frz geb gegr germ gesch gest",
        "g gez gr ggf ggfs griech h i i.d.r inc ing inkl insb insbes int ital j jan jh jhd jhs jr jul jun jur k kath",
        "kfm kfz kgl kl konst königl l landw lat lfd lt ltd m math max med mhd mi mill min mind mio mo mrd",
        "mrz mtl mwst n nachm nat neutr niederl nov näml o o.ä od okt op orig p phil pl proz präs q qu r rd",
        "rel rer resp russ röm s s.o s.u sa schr schw sen sept sog sogen span spez st std stellv str stud",
        "südd techn teilw tsd tägl u u.a u.u u.ä usf usw v v.a v.chr versch vert vgl vorm vors vs w wg",
        "wiss wörtl x y z z.b z.t z.zt zb zt zus zw zzgl österr üb übers",
    )
    | LATIN,
    openers=_words(
        "Aber Alle Allerdings Als Also Am An Andere Anders Auch Auf Aus Bei Beide Bis Da Dabei Dadurch Dafür Dagegen",
        "Daher Damals Damit Danach Daneben Dann Darauf Darin Darum Das Dass Dazu Dein Dem Den Denn Dennoch Der Deren",
        "Des Deshalb Dessen Die Dies Diese Dieser Dieses Doch Dort Du Durch Ein Eine Einem Einen Einer Eines Einige",
        "Er Erst Es Euer Für Gegen Hat Hatte Heute Hier Hinter Ich Ihr Ihre Im Immer In Indem Ist Ja Jede Jeder Jedes",
        "Jedoch Jetzt Kein Keine Man Manche Mein Mit Nach Nachdem Nein Nicht Nichts Niemand Noch Nun Nur Ob Obwohl",
        "Oder Ohne Schon Sehr Sein Seine Seit Seitdem Sie Sind So Sobald Solche Sondern Später Trotzdem Um Und Uns",
        "Unser Unter Viele Vielleicht Vom Von Vor War Waren Warum Was Weder Weil Weitere Welche Wenn Wer Weshalb Wie",
        "Wieder Wir Wird Wo Während Zu Zudem Zum Zur Zuvor Zwar Zwischen Über",
    ),
    never_last=(" z. b", " z.b", "(z. b", "(z.b", " d. h", " d.h"),
    before_house_numbers=("str", "pl"),
    ordinals=True,
)

FR = Language(
    titles=_words("card cdt dr fr gal gén lt m maj me mgr mlle mlles mm mme mmes mr pr prof sr st ste sté"),
    before_numbers=_words(
        "al ann app art bd bull cf ch chap col coll env ex fasc fig figs h hab ill l liv n no nos p par part pl pp",
        "réf sect t tab tit tél v vol vv éd",
    ),
    abbreviations=_words(
        "abr adj adm anc apr arr auj av bd boul bull c c.-à-d cf chap ci cie co conf cong corp dim dir doc déc dép ed",
        "env etc ets ex excl exp fasc févr gouv hab ibid id inc inf intro inv j.-c janv juil ltd lun mar math",
        "mss mun n.b nb nov obs oct op p.ex pl prov préf pseud qq r.-v rem rte réf rés s sam sc sq sté suiv",
        "sup suppl sv trad tél univ v vend zool éd",
    )
    | LATIN,
    openers=_words(
        "Ainsi Alors Après Au Aucun Aussi Autre Aux Avant Avec Bien C'est Ce Cela Celle Celui Cependant Ces Cet Cette",
        "Chaque Comme Dans De Depuis Des Deux Donc Du Elle Elles En Enfin Ensuite Entre Est Et Il Ils J'ai Je L'un La",
        "Le Les Leur Leurs Lorsque Lui Ma Mais Malgré Mes Mon Même Ne Ni Non Nos Notre Nous On Or Ou Oui Où Par Parce",
        "Parmi Pendant Peut Plus Pour Pourquoi Puis Quand Que Quel Quelle Quelques Qui Quoi Sa Sans Se Selon Ses Si",
        "Son Sous Sur Ta Tous Tout Toute Toutes Tu Un Une Vers Vos Votre Vous Y À",
    ),
    never_last=(" p. ex", "(p. ex", " p.ex", " c.-à-d"),
)

ES = Language(
    titles=_words(
        "alm arq cmdt cnel d dn dr dra dres dña excmo fr gob gral hna hno ilmo ing lic mons mr mrs pbro pdte prof",
        "profa profra rvdo sr sra sras sres srta srtas st sta sto tte ud uds vd vds",
    ),
    before_numbers=_words(
        "apdo aprox art arts c ca cap caps cf ed ej fasc fig figs fol h hab km l lib lám n no nro núm núms p par pp",
        "pág págs s sec siglo ss t tab tel teléf tom tomo tít v vol vols",
    ),
    abbreviations=_words(
        "a abr adj admón afma alt ant aprox atte av avda ay bco c c.v cf cfr co corp cta cte ctra cía dcha dep",
        "depto dic dir dom dpto ed edit ee ee.uu ej ene entlo esc esq etc excl feb fig gob gral hnos ibíd inc incl",
        "izda izq jr jue jul jun ltd ltda lun mié máx mér mín n.b nov núm ob oct op p.ej pdo pl prov pról pte pza",
        "pzo párr reg rep rr.hh rte s s.a sept sgte sig sigs sra ss sto sáb tel trad univ urb uu v var vda vie vs íd",
    )
    | LATIN,
    openers=_words(
        "A Además Ahora Al Algo Algunas Algunos Allí Ante Antes Aquel Aquella Aquí Así Aunque Aún Bajo Cada Como Con",
        "Cuando Dado De Del Desde Después Donde Dos Durante E El Ella Ellas Ellos En Entonces Entre Era Es Esa Ese",
        "Eso Esta Estas Este Esto Estos Está Fue Ha Había Hacia Han Hasta Hay Hoy Incluso La Las Le Les Lo Los Luego",
        "Me Mi Mientras Mis Mucho Muchos Muy Más Nada Nadie Ni Ningún No Nos Nosotros Nuestra Nuestro O Otra Otro",
        "Otros Para Pero Por Porque Pues Que Quizá Quién Qué Se Según Ser Si Siempre Sin Sino Sobre Son Su Sus Sí Tal",
        "También Tampoco Tan Tanto Te Tiene Toda Todas Todo Todos Tras Tu Tus Un Una Unos Y Ya Yo Él",
    ),
    never_last=(" p. ej", "(p. ej", " p.ej"),
)

IT = Language(
    titles=_words(
        "arch avv cap card col dott dott.ssa dr dssa egr gen gent geom ing mons prof prof.ssa rag rev s sen",
        "sig sig.na sig.ra sigg ss st mr mrs",
    ),
    before_numbers=_words(
        "art artt ca cap capp cfr cod col ed fasc fig figg fol h lett lib n nn no nr num p pag pagg par pp sec sez sg",
        "t tab tav tel tit v vol voll",
    ),
    abbreviations=_words(
        "a.c abbr ag all anon apr avv bibl c.a c.so ca cfr co corp corr d.c dic dir dom ecc ed es etc feb fig gen",
        "giov id inc int inv isp lav loc ltd lug lun mod mss n.b nov op ott p.es p.zza par pres prov pubbl",
        "rist sab seg segg sett sez soc spec spett succ suppl tel trad univ v ven vs zool",
    )
    | LATIN,
    openers=_words(
        "A Ad Ai Al Alla Alle Allora Altri Anche Ancora Che Chi Ci Ciò Come Con Cosa Così Da Dal Dalla Dei Del Della",
        "Delle Di Dopo Dove Due Durante E Ed Era Fu Gli Ha Hanno I Il In Infatti Inoltre Invece Io L'altro La Le Lei",
        "Lo Loro Lui Ma Mentre Mi Molti Nel Nella Nelle Nessuno Noi Non Nostro O Ogni Ora Per Perché Perciò Però Più",
        "Poi Prima Può Quando Quanto Quattro Quella Quello Questa Queste Questi Questo Qui Quindi Se Secondo Sei",
        "Sempre Senza Si Sono Sotto Sua Sul Sulla Suo Suoi Sì Tra Tre Tu Tutti Tutto Un Una Uno Va Voi È",
    ),
)

PT = Language(
    titles=_words(
        "alm bel cap cel d dr dra drs eng exma exmo frei gen ilmo mr mrs prof prof.ª profa rev sgt sr sra sras",
        "srs srta st sta sto ten v.exa",
    ),
    before_numbers=_words(
        "aprox art arts ca cap caps cf ed fasc fig figs fl fls h km l liv n no nº núm p par pp pág págs qd s séc t",
        "tab tel tit tom v vol vols",
    ),
    abbreviations=_words(
        "a.c abr adj ago al alm ap aprox apto assoc av bibl c cf cia co col corp d.c dep depto dez dir e.u.a ed",
        "eng esc esp etc eua ex excl fev fig gov ibid id inc incl jan jd jr jul jun km lgo lt ltda máx méd mín",
        "n.b nov ob obs op out p.ex part pl pq prov pte pub pç pça r reg rep res rod seg sg supl sáb séc",
        "tel trad trav tv univ v var vs",
    )
    | LATIN,
    openers=_words(
        "A Ainda Algumas Alguns Ali Além Ao Aos Apenas Após Aquela Aquele Aqui As Assim Até Cada Com Como Da Das De",
        "Depois Desde Do Dois Dos Durante E Ela Elas Ele Eles Em Enquanto Entre Então Era Essa Esse Esta Estas Este",
        "Estes Está Eu Foi Foram Hoje Há Isso Isto Já Logo Mais Mas Mesmo Meu Minha Muitas Muito Muitos Na Nada Nas",
        "Nem Nenhum No Nos Nossa Nosso Num Não Nós O Onde Os Ou Outra Outro Outros Para Pela Pelo Pois Por Porque",
        "Porém Quando Que Quem Se Segundo Sem Sempre Seu Seus Sim Sob Sobre Sua Suas São Também Tem Todas Todo Todos",
        "Três Tu Tudo Um Uma Você É",
    ),
)

NL = Language(
    titles=_words("dhr dr drs gebr gen ing ir jhr kap kol lt maj mej mevr mgr mr mrs mw prof sr st"),
    before_numbers=_words("afb art blz ca deel dl fig hfst jg kol nr nrs p pag par pp tab tel vers vol zie"),
    abbreviations=_words(
        "a.d aanw afd afk alg apr aug b.v bijv bijz blz bv c.q ca co corp d.d d.i d.m.v d.w.z dec dgl di e.a e.d",
        "e.v eig enz etc evt excl feb fr geb gem h.t.m i.p.v i.v.m inc incl inl int jan jl jr jul jun jur m.a.w",
        "m.b.t m.b.v m.i.v max min mld mln mrd mrt n.a.v n.chr nl nov o.a o.b.v o.i.d o.l.v okt oorspr op.cit opm",
        "p.a p.j plm red ref resp sept soc str t.a.v t.b.v t.e.m t.o.v tel toel v.a v.chr verg vgl vlg vnl vr wo z.g",
        "z.o.z zg zgn",
    )
    | LATIN,
    openers=_words(
        "Aan Al Alle Als Ben Bij Binnen Daar Daarna Daarom Dan Dat De Deze Die Dit Door Dus Echter Een Eerst En Er",
        "Het Hier Hij Hoe Hun Ik In Is Ja Je Jij Kan Later Maar Meer Men Met Mijn Na Naar Nadat Nee Niet Niets Nog Nu",
        "Of Om Omdat Onder Ons Ook Op Over Sinds Sommige Te Tegen Ten Ter Terwijl Toch Toen Tot Tussen U Uit Van",
        "Vanaf Veel Via Volgens Voor Waar Waarom Wanneer Want Was Wat We Wel Welke Werd Wie Wij Ze Zij Zijn Zo Zonder",
    ),
)

TR = Language(
    titles=_words(
        "alb amr arş asb asist av binb bn by bçvş bşk doç dr hz ing kad korg mr mrs muh müh op ord",
        "prof psk sn st tuğg tümg uz uzm yrd yzb öğr üsteğm",
    ),
    before_numbers=_words("bkz c cilt d fig haz krş md no nr nu par s sa sayı sf sh tab tel tic vol şek"),
    abbreviations=_words(
        "a.ş ank apt ara arş as ass av ağ b bağ bk bkz bl blv bs bulv c cad co corp coğ der dz ecz ed ef ekon ens",
        "ey fak far fiz fr gb gn ha haz hst huk hv inc ing ist it işl jeol kom koop krş lat ltd m.s m.ö",
        "mad mah mec mer mrk müd müz nis no oca okt plt sok t t.c tel tem tic tls tüm vb vd vs yy",
        "yön zf zool çev çoğ ör örn öz özl ünv üniv ş şb şti şub",
    ),
    openers=_words(
        "Ama Ancak Artık Aslında Ayrıca Bazen Bazı Belki Ben Bir Birçok Biz Bu Bunlar Bunu Bunun Burada Böyle Böylece",
        "Bütün Daha Diğer En Evet Fakat Gene Hatta Hayır Hem Henüz Her Herkes Hiç İki İlk İşte Kendi Kim Kimse Nasıl",
        "Ne Neden Nerede Niçin O Olarak Ona Onlar Onu Onun Orada Oysa Pek Peki Sadece Sanki Sen Siz Son Sonra Sonunda",
        "Tüm Ve Veya Ya Yani Yine Zaten Çok Çünkü Önce Öyle Üç Şimdi Şu Şöyle",
    ),
    ordinals=True,
)

RU = Language(
    titles=_words("акад г гг гос госп гр д-р доц им инж о проф св тов"),
    before_numbers=_words("§ абз вып гл изд илл кн л лит н п пар пп разд рис с см ср ст стр т таб табл тел тт ч №"),
    abbreviations=_words(
        "авг б б-р букв бул в в.т.ч вв внутр г гг гл гор греч д дек деп дер др ед ж зам зап заруб и.о им исп итал",
        "к кв км коп кор л лат м мин млн млрд мн н н.э напр нач нем нояб о обл обр окр окт отд п пер пл пос пр",
        "прим просп р руб рус с сб сев сент сер см совр ст стр т т.д т.е т.к т.н т.п тыс ул ум унив устар февр фр х ч",
        "чел ш э экз юж янв",
    ),
    openers=_words(
        "А Без Был Была Были Было В Вам Вас Весь Во Вот Все Всё Вы Где Да Даже Два Для До Его Ее Если Есть Еще Ещё Её",
        "За Здесь И Из Или Им Их К Каждый Как Когда Кто Ли Мне Много Может Мой Мы На Над Нам Наш Не Него Нет Ни Но Ну",
        "О Об Однако Он Она Они Оно От Перед По Под После Потом Поэтому При Про С Сам Свои Себя Сейчас Со Так Также",
        "Такой Там Тебе Теперь То Тогда Тоже Только Тот Три Ты У Уже Хотя Чего Чем Через Что Чтобы Эта Эти Это Этот Я",
    ),
)

_SPOKEN = r"(?:\S{1,12}\s){0,2}\S{0,4}"

AR = Language(
    titles=EN.titles | _words("أ أ.د ا د م"),
    before_numbers=_words("ت ج رقم س ص صص ط ف ق"),
    abbreviations=_words("إلخ الخ ا.هـ ق.م م هـ", *EN.abbreviations),
    openers=EN.openers,
    goes_on=re.compile(r'(?<=["”»’]\s)(?:و|ف)?(?:قال|سأل|أجاب|صاح|صرخ|همس|رد|أضاف|هتف|تساءل)'),
)

HI = Language(
    titles=EN.titles | _words("कु डा डॉ पं प्रो मो श्री श्रीमती सं सुश्री स्व"),
    before_numbers=EN.before_numbers | _words("अ ई क्र खं पृ भा वि सं सन्"),
    abbreviations=EN.abbreviations
    | _words(
        "वि आई आर ई ई.पू ए एक्स एच एन एफ एम एल एस ओ कं कि के क्यू गो ग्रा ज़ेड जी जे जेड टी डब्ल्यू डी पी पू प्रा",
        "प्रा.लि बी मि मी यू रा रु लि वाई वी स सा सी सें",
    ),
    openers=EN.openers,
    goes_on=re.compile(rf'(?<=["”’]\s){_SPOKEN}(?:पूछा|कहा|बोला|बोली|बोले|चिल्लाया|चिल्लाई|उत्तर|जवाब|सोचा)'),
)

KO = replace(
    EN,
    ordinals=True,  # the parts of a date
    goes_on=re.compile(rf'(?<=["”’」』]\s){_SPOKEN}(?:물었|말했|대답|외쳤|소리쳤|속삭였|생각했|중얼)'),
)

JA = replace(
    EN,
    goes_on=re.compile(r"(?:と(?:(?<=[」』）”]と)(?!、)|[言云思叫聞答話呼書彼私僕俺いの])|って|の(?!で)|など|なんて)"),
)

ZH = replace(EN, goes_on=re.compile(r"[—]|(?<=[”’」』])\w{1,3}?(?:说|說|问|問|道|喊|答|叫|想|笑)道?[，,。：:]"))

TH = replace(
    EN,
    titles=EN.titles | _words("ดร จ ต ถ ซ นพ พญ ผศ รศ ศ อ พล.ต พล.อ พ.ต.ท พ.ต.อ ม.ร.ว ม.ล น.ส"),
    abbreviations=EN.abbreviations | _words("กก กม ค.ศ น พ.ศ รศ"),
    marks=False,
)

LANGUAGES = {
    "ar": AR,
    "de": DE,
    "en": EN,
    "es": ES,
    "fr": FR,
    "hi": HI,
    "it": IT,
    "ja": JA,
    "ko": KO,
    "nl": NL,
    "pt": PT,
    "ru": RU,
    "th": TH,
    "tr": TR,
    "zh": ZH,
}
"""By their codes of ISO 639."""
